import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl_tf.errors import UserError
from dsl_tf.sparsity import initialization
from dsl_tf.sparsity.initialization import QuotaMask, budget, quotas_by_use


def random_mask(*args):
    """The positions of the mask drawn, int64 [nnz]."""
    return np.flatnonzero(np.concatenate([*initialization.random_mask(*args)]))


@pytest.mark.parametrize(
    ("shape", "sparsity", "nnz"),
    [
        ((10, 10), 0.0, 100),
        ((10, 10), 0.9, 10),
        ((3, 5), 0.5, 8),  # 7.5: to the even one
        ((2, 2), 0.99, 1),  # never none
        ((1_000_000, 64), 0.95, 3_200_000),
    ],
)
def test_budget(shape, sparsity, nnz):
    assert budget(shape, sparsity) == nnz


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_budget_out_of_range(sparsity):
    with pytest.raises(UserError, match=r"in \[0, 1\)\. Received: sparsity="):
        budget((10, 10), sparsity)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.data())
def test_exact_count_and_a_weight_in_every_row(rows, width, data):
    nnz = data.draw(st.integers(rows, rows * width))
    positions = random_mask((rows, width), nnz, np.random.default_rng(0))
    assert positions.shape == (nnz,)
    assert np.all(np.diff(positions) > 0)
    assert positions[0] >= 0
    assert positions[-1] < rows * width
    assert len(np.unique(positions // width)) == rows


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 20), st.data())
def test_the_same_holds_block_by_block(rows, width, block, data):
    nnz = data.draw(st.integers(rows, rows * width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initialization, "BLOCK_POSITIONS", block)
        positions = random_mask((rows, width), nnz, np.random.default_rng(0))
    assert len(np.unique(positions)) == nnz
    assert len(np.unique(positions // width)) == rows


def test_a_function_of_the_generator():
    draws = [random_mask((50, 8), 100, np.random.default_rng(s)) for s in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_every_column_is_as_likely_as_any_other():
    draws = 4000
    generator = np.random.default_rng(0)
    positions = [random_mask((4, 5), 10, generator) for _ in range(draws)]
    share = np.bincount(np.concatenate(positions), minlength=20) / draws
    # Each is 0.5 on average, with a standard deviation of 0.008.
    assert np.abs(share - 0.5).max() < 0.035


def test_fewer_weights_than_rows_go_to_the_popular_ones():
    popularity = np.array([5, 1, 7, 5, 0])
    with pytest.warns(UserWarning, match=r"3 weights for 5 rows: 40\.0% of the rows"):
        positions = random_mask((5, 4), 3, np.random.default_rng(0), popularity)
    # 7, and of the two 5 both; were there one place, row 0 would have it.
    assert (positions // 4).tolist() == [0, 2, 3]
    with pytest.warns(UserWarning, match="2 weights"):
        positions = random_mask((5, 4), 2, np.random.default_rng(0), popularity)
    assert (positions // 4).tolist() == [0, 2]


def test_without_popularity_the_first_rows_get_them():
    with pytest.warns(UserWarning, match="without any weight"):
        positions = random_mask((5, 4), 2, np.random.default_rng(0))
    assert (positions // 4).tolist() == [0, 1]


def test_errors(rng):
    with pytest.raises(
        UserError, match=r"`nnz` must be in \[1, 20\]\. Received: nnz=21"
    ):
        random_mask((5, 4), 21, rng)
    with pytest.raises(UserError, match=r"each of 5 rows\. Received: 4 numbers"):
        random_mask((5, 4), 3, rng, np.zeros(4))


def test_the_table_is_never_built():
    """400,000 x 64 positions: as bools they take 26 MB, as floats 102 MB."""
    tracemalloc.start()
    blocks = initialization.random_mask(
        (400_000, 64), 2_560_000, np.random.default_rng(0)
    )
    assert sum(np.count_nonzero(block) for block in blocks) == 2_560_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 15e6


def test_quotas_by_hand():
    use = np.array([0, 3, 8, 99])
    # In proportion to 1, 2, 3 and 10, of which the last is cut off at 6 columns.
    assert quotas_by_use(use, 6, 12, 0.5).tolist() == [1, 2, 3, 6]
    assert quotas_by_use(use, 6, 8, 0.0).tolist() == [2, 2, 2, 2]
    assert quotas_by_use(use, 6, 24, 0.5).tolist() == [6, 6, 6, 6]
    assert quotas_by_use(use, 6, 2, 0.5).tolist() == [0, 0, 1, 1]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=50),
    st.integers(1, 9),
    st.floats(0, 4),
    st.data(),
)
def test_quotas_are_exact_and_ascend_with_use(use, width, power, data):
    use = np.array(use)
    nnz = data.draw(st.integers(1, len(use) * width))
    quotas = quotas_by_use(use, width, nnz, power)
    assert quotas.sum() == nnz
    assert quotas.max() <= width
    assert quotas.min() >= (nnz >= len(use))
    ascending = quotas[np.argsort(use, kind="stable")]
    # Of rows of equal use some may have one more.
    assert np.all(np.diff(ascending) >= -1)


def test_quota_mask_has_its_rows_and_any_columns():
    quotas = np.tile([0, 1, 4, 8], 500)
    mask = QuotaMask(quotas, 8)
    assert mask.sparsity == 1 - 13 / 32
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initialization, "BLOCK_POSITIONS", 100)
        blocks = [*mask((2000, 8), 500 * 13, np.random.default_rng(0))]
    assert len(blocks) > 100
    drawn = np.concatenate(blocks)
    np.testing.assert_array_equal(drawn.sum(axis=1), quotas)
    # 500 draws of one column, and of four, out of eight.
    assert drawn[quotas == 1].sum(axis=0).min() > 40
    assert drawn[quotas == 4].sum(axis=0).min() > 200
    with pytest.raises(ValueError, match="The mask must be of"):
        next(mask((2000, 8), 500, np.random.default_rng(0)))


def test_nested_quotas_are_the_first_columns():
    quotas = np.array([3, 0, 1, 4])
    mask = QuotaMask(quotas, 4, nested=True)
    drawn = np.concatenate([*mask((4, 4), 8, np.random.default_rng(0))])
    np.testing.assert_array_equal(
        drawn, [[1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    )


def test_a_budget_of_numpys_integers():
    """In int32 it was one weight."""
    assert (
        initialization.budget((np.int32(40_000_000), np.int32(64)), 0.95) == 128 * 10**6
    )
