import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsl_tf.sparsity.exploration import explore, explore_anywhere
from dsl_tf.sparsity.growth import gradient
from dsl_tf.sparsity.selection import Scores


def exchange(weights, mask, gradients, ratio, rows=None):
    """`explore` on a small table; rows without a record have gradient None."""
    mask = np.array(mask, bool)
    rows = np.arange(len(mask)) if rows is None else np.array(rows)
    scores = gradient(np.array(gradients, np.float32))
    values = np.array(weights, np.float32)[mask]
    begin = np.array([mask[:row].sum() for row in rows], np.int64)
    return explore(Scores.of(np.abs(values)), rows, begin, mask[rows], scores, ratio)


def mask_after(mask, found):
    after = np.array(mask, bool).reshape(-1)
    after[np.flatnonzero(after)[found.pruned]] = False
    after[found.grown] = True
    return after.astype(int).reshape(np.shape(mask)).tolist()


MASK = [[1, 1, 0, 0], [1, 1, 0, 0]]
WEIGHTS = [[4, -1, 0, 0], [-2, 3, 0, 0]]


@pytest.mark.parametrize(
    ("gradients", "ratio", "expected"),
    [
        # The smallest, -1, leaves; the greatest gradient of a pruned one enters.
        ([[9, 0, 1, 0], [0, 0, 0, -2]], 0.25, [[1, 0, 0, 0], [1, 1, 0, 1]]),
        # -1 and -2 leave, both candidates enter.
        ([[9, 0, 1, 0], [0, 0, 0, -2]], 0.5, [[1, 0, 1, 0], [0, 1, 0, 1]]),
        # -1, -2 and 3 are asked for, but only two can enter: 3, the greatest, stays.
        ([[9, 0, 1, 0], [0, 0, 0, -2]], 0.75, [[1, 0, 1, 0], [0, 1, 0, 1]]),
        # The pruned -1 has the greatest gradient of all: it is grown again.
        ([[0, 5, 1, 0], [0, 0, 0, 2]], 0.5, [[1, 1, 0, 0], [0, 1, 0, 1]]),
        # No gradient: nothing is grown by the sort order of zeros.
        ([[0, 0, 0, 0], [0, 0, 0, 0]], 0.5, MASK),
        # NaN is no gradient.
        ([[0, 0, np.nan, 0], [0, 0, 0, 0]], 0.5, MASK),
        # Ties go to the lower position.
        ([[0, 0, 1, 1], [0, 0, 1, 1]], 0.25, [[1, 0, 1, 0], [1, 1, 0, 0]]),
        # Nothing is asked for.
        ([[9, 9, 9, 9], [9, 9, 9, 9]], 0.0, MASK),
        # Everything is: all positions are candidates, the best four are active.
        ([[8, 7, 6, 5], [4, 3, 2, 1]], 1.0, [[1, 1, 1, 1], [0, 0, 0, 0]]),
    ],
)
def test_hand_worked_masks(gradients, ratio, expected):
    found = exchange(WEIGHTS, MASK, gradients, ratio)
    assert mask_after(MASK, found) == expected


def test_what_it_reports():
    found = exchange(WEIGHTS, MASK, [[0, 5, 1, 0], [0, 0, 0, 2]], 0.5)
    # Position 1 was pruned and grown again; 4, the third active one, left.
    assert found.pruned.tolist() == [2]
    assert found.grown.tolist() == [7]
    assert (found.asked, found.offered) == (2, 2)


def test_rows_without_a_record_grow_nothing():
    found = exchange(WEIGHTS, MASK, [[0, 0, 0, 2]], 0.5, rows=[1])
    assert mask_after(MASK, found) == [[1, 0, 0, 0], [1, 1, 0, 1]]
    assert (found.asked, found.offered) == (2, 1)


def test_no_record_at_all():
    found = exchange(WEIGHTS, MASK, np.zeros((0, 4)), 0.5, rows=np.zeros(0, np.int64))
    assert mask_after(MASK, found) == MASK
    assert (found.asked, found.offered) == (2, 0)


def test_half_is_rounded_up():
    found = exchange([[1, 2, 3, 0]], [[1, 1, 1, 0]], [[0, 0, 0, 1]], 0.5)
    assert found.asked == 2  # 1.5


def test_positions_beyond_32_bits():
    """Row 2**30 of a table 8 wide: position 2**33."""
    row = 2**30
    found = explore(
        Scores.of(np.array([1.0, 2.0], np.float32)),
        np.array([row]),
        np.array([1]),
        np.array([[0, 1, 0, 0, 0, 0, 0, 0]], bool),
        np.array([[0, 0, 0, 0, 0, 0, 0, 5]], np.float32),
        0.5,
    )
    assert found.pruned.tolist() == [0]
    assert found.grown.tolist() == [2**33 + 7]


def oracle(weights, mask, gradients, ratio):
    """The rule of `explore`, word for word, on lists of positions."""
    active = [p for p in range(mask.size) if mask[p]]
    k = int(ratio * len(active) + 0.5)
    p_set = sorted(active, key=lambda p: (abs(weights[p]), p))[:k]
    candidates = [
        p
        for p in range(mask.size)
        if (not mask[p] or p in p_set) and abs(gradients[p]) > 0
    ]
    g_set = sorted(candidates, key=lambda p: (-abs(gradients[p]), p))[:k]
    grown = [p for p in g_set if p not in p_set]
    others = [p for p in p_set if p not in g_set]  # lowest first
    return [active.index(p) for p in others[: len(grown)]], grown


TABLE = st.tuples(st.integers(1, 6), st.integers(1, 6))
FEW = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0])


@settings(deadline=None)
@given(TABLE, st.data(), st.floats(0, 1))
def test_the_exchange_as_designed(shape, data, ratio):
    mask = data.draw(hnp.arrays(bool, shape))
    if not mask.any():
        return
    weights = data.draw(hnp.arrays(np.float32, shape, elements=FEW)) * mask
    gradients = data.draw(hnp.arrays(np.float32, shape, elements=FEW))
    found = exchange(weights, mask, gradients, ratio)
    pruned, grown = oracle(
        weights.reshape(-1), mask.reshape(-1), gradients.reshape(-1), ratio
    )
    assert found.pruned.tolist() == sorted(pruned)
    assert found.grown.tolist() == sorted(grown)

    # And what follows from it, whatever the selection.
    after = np.array(mask_after(mask, found), bool)
    assert after.sum() == mask.sum()
    assert len(found.pruned) == len(found.grown) <= found.asked
    assert np.all(gradients.reshape(-1)[found.grown] != 0)
    assert all(np.all(np.diff(part) > 0) for part in found[:2])
    again = exchange(weights, mask, gradients, ratio)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def drawn(weights, mask, ratio, seed=0, block=1):
    """`explore_anywhere` on a small table, whose mask comes in blocks of rows."""
    mask = np.array(mask, bool)
    values = np.array(weights, np.float32)[mask]
    blocks = [mask[start : start + block] for start in range(0, len(mask), block)]
    generator = np.random.default_rng(seed)
    scores = Scores.of(np.abs(values))
    return explore_anywhere(scores, blocks, mask.size, ratio, generator)


@given(
    mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    ratio=st.floats(0, 1),
    seed=st.integers(0, 99),
    block=st.integers(1, 4),
)
@settings(max_examples=200, deadline=None)
def test_a_random_exchange_keeps_the_budget_and_all_but_the_least(
    mask, ratio, seed, block
):
    weights = np.random.default_rng(seed).permutation(mask.size).reshape(mask.shape) + 1
    found = drawn(weights, mask, ratio, seed, block)
    after = np.array(mask_after(mask, found), bool)
    assert after.sum() == mask.sum()
    assert not mask.reshape(-1)[found.grown].any()
    assert (np.diff(found.grown) > 0).all()
    assert found.offered == mask.size - mask.sum()
    least = np.sort(weights[mask])[: found.asked]
    assert set(weights[mask & ~after]) <= set(least)
    whole = drawn(weights, mask, ratio, seed, block=len(mask))
    np.testing.assert_array_equal(whole.grown, found.grown)
    np.testing.assert_array_equal(whole.pruned, found.pruned)


@pytest.mark.parametrize("ratio", [0.25, 0.75])
def test_each_place_is_as_likely_as_any_other_to_be_drawn(ratio):
    """The weights that left, and those that there never were, alike."""
    times = 3000
    after = np.sum(
        [
            mask_after(MASK, drawn(WEIGHTS, MASK, ratio, seed, block=2))
            for seed in range(times)
        ],
        axis=0,
    )
    asked = round(4 * ratio)
    stays = np.argsort(np.where(MASK, np.abs(WEIGHTS), 0), axis=None)[4 + asked :]
    likely = np.full(8, asked / (4 + asked))
    likely[stays] = 1
    deviation = np.sqrt(likely * (1 - likely) / times)
    assert (np.abs(after.reshape(-1) / times - likely) <= 4.5 * deviation).all()


def test_a_random_draw_takes_no_memory_for_all_positions():
    rows, width, block = 100_000, 64, 1_000
    generator = np.random.default_rng(0)
    masks = [np.zeros((block, width), bool) for _ in range(rows // block)]
    for mask in masks:
        mask[:, 0] = True
    scores = Scores.of(generator.random(rows, np.float32))
    tracemalloc.start()
    found = explore_anywhere(scores, masks, rows * width, 0.1, generator)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.grown) + (10_000 - len(found.pruned)) == 10_000
    assert peak < rows * width / 4
