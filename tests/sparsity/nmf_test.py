import numpy as np
import pytest
import scipy.sparse

from dsl_tf.sparsity import nmf


@pytest.fixture
def blocks():
    """Two groups of users, each with items of its own."""
    matrix = np.zeros((20, 12))
    matrix[:10, :6] = matrix[10:, 6:] = 1
    matrix[3] = 0  # a user without interactions
    matrix[4, 1:6] = 0  # one with a single one
    return scipy.sparse.csr_matrix(matrix)


def test_a_group_has_its_own_columns(blocks):
    masks = nmf.NmfMasks(lambda: blocks, iterations=200, seed=0)
    users = masks.mask("users", 2, 20)
    items = masks.mask("items", 2, 12)
    np.testing.assert_array_equal(users.sum(axis=1), 1)
    np.testing.assert_array_equal(items.sum(axis=1), 1)
    (first,), (second,) = np.flatnonzero(items[0]), np.flatnonzero(items[-1])
    assert first != second
    rows = np.delete(np.arange(20), 3)
    assert users[rows[rows < 10], first].all()
    assert users[rows[rows >= 10], second].all()
    both = masks.mask("both", 2, 32)
    np.testing.assert_array_equal(both, np.concatenate([users, items]))


@pytest.mark.parametrize(("width", "nnz"), [(2, 25), (4, 70), (15, 20), (4, 7)])
def test_the_budget_is_exact_and_rows_have_a_floor(blocks, width, nnz):
    mask = nmf.NmfMasks(lambda: blocks, iterations=20, seed=1).mask("users", width, nnz)
    assert mask.shape == (20, width)
    assert np.count_nonzero(mask) == nnz
    assert np.count_nonzero(mask.any(axis=1)) == min(nnz, 20)
    again = nmf.NmfMasks(lambda: blocks, iterations=20, seed=1).mask(
        "users", width, nnz
    )
    np.testing.assert_array_equal(mask, again)


def test_active_users_do_not_get_everything():
    factor = np.array([[100, 50, 30, 0], [1, 0.9, 0, 0.1]], np.float32)
    mask = nmf.positions(factor, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(mask, [[1, 1, 0, 0], [1, 1, 0, 0]])


def test_macs_by_hand(blocks):
    masks = nmf.NmfMasks(lambda: blocks, iterations=3, seed=0)
    # Of each iteration: the matrix with both factors, 2 · nnz · 4; both Gram matrices
    # and both sweeps, 2 · 32 rows · 4².
    assert masks.macs(4) == 3 * (2 * blocks.nnz * 4 + 2 * 32 * 16)
    assert masks.factored([2, 4]) is masks
