import numpy as np
import pytest

from dsl_tf.data import graph
from dsl_tf.types import Interactions, empty_interactions

#: User 0 has items 0 and 1, user 1 items 0, 1 and 2; user 2 and item 3 nothing.
TINY = Interactions(
    np.array([0, 0, 1, 1, 1], np.int32), np.array([0, 1, 0, 1, 2], np.int32)
)
SIZES = (3, 4)


def _random(rng):
    """30 users, 25 items, about a fifth of all pairs; user 7 and item 3 have none."""
    pairs = rng.random((30, 25)) < 0.2
    pairs[7] = pairs[:, 3] = False
    users, items = np.nonzero(pairs)
    train = Interactions(users.astype(np.int32), items.astype(np.int32))
    return train, pairs.astype(np.float64)


def test_degrees():
    users, items = graph.degrees(TINY, *SIZES)
    assert users.tolist() == [2, 3, 0]
    assert items.tolist() == [2, 2, 1, 0]


def test_adjacency_by_hand():
    found = graph.adjacency(TINY, *SIZES)
    r = np.zeros(SIZES)
    r[0, :2] = 1 / 2  # 1 / sqrt(2 · 2)
    r[1] = [6**-0.5, 6**-0.5, 3**-0.5, 0]
    expected = np.block([[np.zeros((3, 3)), r], [r.T, np.zeros((4, 4))]])
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    assert np.diff(found.indptr).tolist() == [2, 3, 0, 2, 2, 1, 0]
    assert found.has_sorted_indices
    assert (found.dtype, found.indices.dtype) == (np.float32, np.int32)


def test_adjacency_is_symmetric_with_eigenvalues_up_to_one(rng):
    train, pairs = _random(rng)
    found = graph.adjacency(train, *pairs.shape)
    assert (found != found.T).nnz == 0
    assert found.nnz == 2 * len(train)
    assert np.linalg.eigvalsh(found.toarray())[-1] == pytest.approx(1.0, abs=1e-5)
    degrees = np.concatenate([pairs.sum(1), pairs.sum(0)])
    assert not np.diff(found.indptr)[degrees == 0].any()


def test_item_neighbours_by_hand():
    # A = [[2, 2, 1], [2, 2, 1], [1, 1, 1]], g = [5, 5, 3].
    items, weights = graph.item_neighbours(TINY, *SIZES, count=2)
    assert items.tolist() == [[0, 1], [0, 1], [2, 0], [3, 3]]
    two = 2 / 3 / 6**0.5  # 1 · sqrt(4) / 3 / sqrt(6)
    expected = [[0.4, 0.4], [0.4, 0.4], [1 / 3, two], [0, 0]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert (items.dtype, weights.dtype) == (np.int32, np.float32)


def test_places_left_over_hold_the_item_itself():
    items, weights = graph.item_neighbours(TINY, *SIZES, count=4)
    assert items.tolist() == [[0, 1, 2, 0], [0, 1, 2, 1], [2, 0, 1, 2], [3] * 4]
    assert not weights[:3, 3].any()
    assert not weights[3].any()
    assert weights[:3, :3].all()


@pytest.mark.parametrize("at_once", [1, 8, 100])
def test_item_neighbours_are_those_of_the_whole_item_graph(rng, monkeypatch, at_once):
    monkeypatch.setattr(graph, "ITEMS_AT_ONCE", at_once)
    train, pairs = _random(rng)
    shared = pairs.T @ pairs
    g = shared.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        omega = shared * (np.sqrt(g + 1) / g)[:, None] / np.sqrt(g + 1)
    order = np.argsort(-np.nan_to_num(omega), axis=1, kind="stable")[:, :5]
    items, weights = graph.item_neighbours(train, *pairs.shape, count=5)
    connected = g > 0
    np.testing.assert_array_equal(items[connected], order[connected])
    expected = np.take_along_axis(omega, order, axis=1)[connected]
    np.testing.assert_allclose(weights[connected], expected, rtol=1e-6)
    assert items[3].tolist() == [3] * 5


def test_nobody_with_nothing():
    nothing = empty_interactions()
    assert graph.adjacency(nothing, 2, 3).nnz == 0
    items, weights = graph.item_neighbours(nothing, 2, 3, count=1)
    assert items.tolist() == [[0], [1], [2]]
    assert not weights.any()
    assert graph.item_neighbours(TINY, *SIZES, count=0)[0].shape == (4, 0)


def test_locality_order_brings_neighbours_together(rng):
    # Two groups of users with items of their own, numbered at random.
    group = np.repeat([0, 1], 20)
    pairs = (group[:, None] == group[None]) & (rng.random((40, 40)) < 0.3)
    pairs = pairs[rng.permutation(40)][:, rng.permutation(40)]
    users, items = np.nonzero(pairs)
    train = Interactions(users.astype(np.int32), items.astype(np.int32))
    found = graph.adjacency(train, 40, 40)
    order = graph.locality_order(found, 40)
    assert sorted(order) == list(range(80))
    assert order[:40].max() < 40

    def spread(matrix):
        entries = matrix.tocoo()
        return np.abs(entries.row - entries.col).std()

    assert spread(found[order][:, order]) < 0.8 * spread(found)
