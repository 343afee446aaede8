import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsl_tf.sparsity import selection
from dsl_tf.sparsity.selection import Scores, highest, lowest

SCORES = hnp.arrays(
    np.float32,
    st.integers(1, 40),
    # Few values, so that there are ties.
    elements=st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 2.0, np.inf, np.nan]),
)


@pytest.mark.parametrize(
    ("scores", "count", "low", "high"),
    [
        ([3.0, 1.0, 2.0], 0, [0, 0, 0], [0, 0, 0]),
        ([3.0, 1.0, 2.0], 1, [0, 1, 0], [1, 0, 0]),
        ([3.0, 1.0, 2.0], 2, [0, 1, 1], [1, 0, 1]),
        ([3.0, 1.0, 2.0], 3, [1, 1, 1], [1, 1, 1]),
        # Ties go to the lower position, at both ends.
        ([1.0, 0.0, 1.0, 0.0, 0.0], 2, [0, 1, 0, 1, 0], [1, 0, 1, 0, 0]),
        ([1.0, 0.0, 1.0, 0.0, 0.0], 4, [1, 1, 0, 1, 1], [1, 1, 1, 1, 0]),
        # NaN comes last, at both ends.
        ([np.nan, 1.0, np.nan, 2.0], 1, [0, 1, 0, 0], [0, 0, 0, 1]),
        ([np.nan, 1.0, np.nan, 2.0], 3, [1, 1, 0, 1], [1, 1, 0, 1]),
        ([], 0, [], []),
    ],
)
def test_hand_worked(scores, count, low, high):
    scores = Scores.of(np.array(scores, np.float32))
    np.testing.assert_array_equal(lowest(scores, count), np.array(low, bool))
    np.testing.assert_array_equal(highest(scores, count), np.array(high, bool))


@settings(deadline=None)
@given(SCORES, st.data())
def test_same_as_a_stable_sort(scores, data):
    count = data.draw(st.integers(0, len(scores)))
    for select, keys in ((lowest, scores), (highest, -scores)):
        expected = np.zeros(len(scores), bool)
        expected[np.argsort(keys, kind="stable")[:count]] = True
        found = select(Scores.of(scores), count)
        np.testing.assert_array_equal(found, expected)


@settings(deadline=None)
@given(SCORES, st.integers(1, 7), st.data())
def test_the_same_block_by_block_and_among_some(scores, block, data):
    among = data.draw(hnp.arrays(bool, len(scores)))
    count = data.draw(st.integers(0, int(among.sum())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "BLOCK", block)
        found = lowest(Scores.of(scores), count, among)
    expected = np.zeros(len(scores), bool)
    places = np.flatnonzero(among)
    expected[places[np.argsort(scores[places], kind="stable")[:count]]] = True
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("count", [1, 2000, 1_234_567, 1_999_990, 1_999_999])
@pytest.mark.parametrize(
    "kind", ["normal", "steps", "sorted", "misleading", "two scales", "zeros", "nan"]
)
def test_long_vectors(kind, count, rng):
    """The sample tells where to look; where it misleads, the rest is searched."""
    scores = rng.normal(size=2_000_000).astype(np.float32)
    if kind == "steps":
        scores = np.round(scores, 1)
    elif kind == "sorted":
        scores.sort()
    elif kind == "misleading":
        for start in range(0, len(scores), len(scores) // selection._RUNS):
            scores[start : start + selection._RUN] = 1e9
    elif kind == "two scales":  # users and items in a joint table
        scores[: len(scores) // 2] /= 30
    elif kind == "zeros":
        scores[rng.random(len(scores)) < 0.6] = 0
    elif kind == "nan":
        scores[rng.random(len(scores)) < 0.5] = np.nan
    expected = np.zeros(len(scores), bool)
    expected[np.argsort(scores, kind="stable")[:count]] = True
    np.testing.assert_array_equal(lowest(Scores.of(scores), count), expected)


@pytest.mark.parametrize("kind", ["normal", "two scales", "zeros"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.61])
def test_memory_beside_the_result_is_small(kind, share, rng):
    scores = np.abs(rng.normal(size=8_000_000).astype(np.float32))
    if kind == "two scales":
        scores[: len(scores) // 2] /= 30
    elif kind == "zeros":
        scores[rng.random(len(scores)) < 0.6] = 0
    tracemalloc.start()
    lowest(Scores.of(scores), int(share * len(scores)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(scores)  # the result takes 1, a copy would take 4
