import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsl_tf.sparsity.selection import highest, lowest

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
    scores = np.array(scores, np.float32)
    np.testing.assert_array_equal(lowest(scores, count), np.array(low, bool))
    np.testing.assert_array_equal(highest(scores, count), np.array(high, bool))


@settings(deadline=None)
@given(SCORES, st.data())
def test_same_as_a_stable_sort(scores, data):
    count = data.draw(st.integers(0, len(scores)))
    for select, keys in ((lowest, scores), (highest, -scores)):
        expected = np.zeros(len(scores), bool)
        expected[np.argsort(keys, kind="stable")[:count]] = True
        np.testing.assert_array_equal(select(scores, count), expected)


@pytest.mark.parametrize("count", [-1, 3])
def test_count_out_of_range(count):
    with pytest.raises(ValueError, match=r"`count` must be in \[0, 2\]"):
        lowest(np.zeros(2), count)
