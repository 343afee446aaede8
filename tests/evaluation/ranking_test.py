import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl_tf.errors import UserError
from dsl_tf.evaluation import ranking


def scorer(scores: np.ndarray) -> ranking.Score:
    table = tf.constant(scores, tf.float32)
    return lambda users: tf.gather(table, users)


def nothing(num_users: int, num_items: int) -> scipy.sparse.csr_matrix:
    return scipy.sparse.csr_matrix((num_users, num_items), dtype=np.float32)


def oracle(scores: np.ndarray, known: np.ndarray, cutoff: int, seed: int):
    """The ranking by sorting everything: (items, scores of the top K + 1)."""
    order = ranking.tie_rank(scores.shape[1], seed)
    items = np.full((len(scores), cutoff), -1)
    best = np.full((len(scores), cutoff + 1), -np.inf, np.float32)
    for user, row in enumerate(np.where(known, -np.inf, scores)):
        ranked = [i for i in np.lexsort([order, -row]) if row[i] > -np.inf]
        top = ranked[:cutoff]
        items[user, : len(top)] = top
        best[user, : len(ranked[: cutoff + 1])] = row[ranked[: cutoff + 1]]
    return items, best


def test_tie_order_is_a_fixed_permutation():
    order = ranking.tie_order(1000, seed=3)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    np.testing.assert_array_equal(order, ranking.tie_order(1000, seed=3))
    assert np.any(order != ranking.tie_order(1000, seed=4))
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1
    rank = ranking.tie_rank(1000, seed=3)
    np.testing.assert_array_equal(rank[order], np.arange(1000))


@pytest.mark.parametrize("num_items", [7, 100, 3000])
def test_equal_scores_are_ranked_in_tie_order(num_items):
    top = ranking.rank(
        scorer(np.ones((3, num_items))),
        np.arange(3, dtype=np.int32),
        nothing(3, num_items),
        cutoff=5,
        seed=1,
    )
    expected = np.tile(ranking.tie_order(num_items, seed=1)[:5], (3, 1))
    np.testing.assert_array_equal(top.items, expected)
    assert top.tied(5).all()


@settings(max_examples=20, deadline=None)
@given(
    num_items=st.integers(1, 150),
    levels=st.integers(1, 40),
    cutoff=st.integers(1, 25),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_sorting_everything(num_items, levels, cutoff, seed):
    """Few levels make ties everywhere: inside the top and at its end."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(5, num_items)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    known = rng.random(scores.shape) < 0.3
    top = ranking.rank(
        scorer(scores),
        np.arange(5, dtype=np.int32),
        scipy.sparse.csr_matrix(known.astype(np.float32)),
        cutoff,
        seed,
    )
    items, best = oracle(scores, known, cutoff, seed)
    np.testing.assert_array_equal(top.items, items)
    np.testing.assert_array_equal(top.scores, best)
    recommended = top.items >= 0
    users = np.nonzero(recommended)[0]
    assert not known[users, top.items[recommended]].any()


def test_tied_is_about_the_last_place_only():
    scores = np.array([[9, 9, 5, 4], [9, 5, 5, 4], [9, 5, -np.inf, -np.inf]])
    top = ranking.rank(
        scorer(scores), np.arange(3, dtype=np.int32), nothing(3, 4), 3, seed=0
    )
    np.testing.assert_array_equal(top.tied(1), [True, False, False])
    np.testing.assert_array_equal(top.tied(2), [False, True, False])
    # Two unrankable items are no tie.
    np.testing.assert_array_equal(top.tied(3), [False, False, False])


def test_fewer_rankable_items_than_the_cutoff():
    known = scipy.sparse.csr_matrix(np.array([[1.0, 0, 0], [1, 1, 1]]))
    scores = np.array([[9.0, -np.inf, 1], [3, 2, 1]])
    top = ranking.rank(scorer(scores), np.arange(2, dtype=np.int32), known, 5, seed=0)
    expected = [[2, -1, -1, -1, -1], [-1, -1, -1, -1, -1]]
    np.testing.assert_array_equal(top.items, expected)
    assert top.scores[0, 0] == 1
    assert np.all(np.isneginf(top.scores.ravel()[1:]))


def test_nan_scores_are_one_clear_line():
    scores = np.zeros((4, 9))
    scores[2, 5] = np.nan
    with pytest.raises(UserError, match=r"must not be NaN.*user row 2") as error:
        ranking.rank(
            scorer(scores), np.arange(4, dtype=np.int32), nothing(4, 9), 3, seed=0
        )
    assert "\n" not in str(error.value)


def test_infinite_scores_of_both_signs_are_not_taken_for_nan():
    scores = np.array([[np.inf, -np.inf, 0.0]])
    top = ranking.rank(scorer(scores), np.zeros(1, np.int32), nothing(1, 3), 3, seed=0)
    np.testing.assert_array_equal(top.items, [[0, 2, -1]])


def test_batches_change_nothing_and_do_not_retrace(monkeypatch):
    rng = np.random.default_rng(0)
    scores = rng.integers(5, size=(23, 60)).astype(np.float32)
    known = scipy.sparse.random(23, 60, 0.2, format="csr", rng=rng)
    users = np.arange(23, dtype=np.int32)
    whole = ranking.rank(scorer(scores), users, known, 10, seed=0)
    traces = []

    def score(ids: tf.Tensor) -> tf.Tensor:
        traces.append(ids)  # runs when traced, not when called
        return tf.gather(tf.constant(scores), ids)

    monkeypatch.setattr(ranking, "BATCH_BYTES", 4 * 60 * 4)  # 4 users, the last 3
    assert ranking.batch_size(60) == 4
    split = ranking.rank(score, users, known, 10, seed=0)
    np.testing.assert_array_equal(split.items, whole.items)
    np.testing.assert_array_equal(split.scores, whole.scores)
    assert len(traces) == 1


def test_a_batch_holds_at_least_one_user():
    assert ranking.batch_size(10**9) == 1
