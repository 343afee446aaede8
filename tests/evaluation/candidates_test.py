import numpy as np
import pytest
import scipy.sparse
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl_tf.errors import UserError
from dsl_tf.evaluation import candidates, ranking


def place(scores, negatives, held_out, cutoff=3, seed=0):
    table = tf.constant(scores, tf.float32)
    matrix = np.zeros(np.shape(scores), np.float32)
    for user, item in held_out:
        matrix[user, item] = 1
    return candidates.place(
        lambda users: tf.gather(table, users),
        np.arange(len(matrix), dtype=np.int32),
        np.asarray(negatives, np.int32),
        scipy.sparse.csr_matrix(matrix),
        cutoff,
        seed,
    )


def test_rank_among_the_negatives_only():
    # Item 0 scores best everywhere, and is no candidate.
    scores = [[9, 1, 2, 3, 4], [9, 4, 3, 2, 1]]
    placing = place(scores, [[1, 2, 3], [1, 2, 3]], [(0, 4), (1, 4)])
    np.testing.assert_array_equal(placing.ranks, [0, 3])
    np.testing.assert_array_equal(placing.scores, [[4, 3, 2, 1], [4, 3, 2, 1]])


def test_a_negative_equal_to_the_held_out_item_counts_for_nothing():
    placing = place([[9, 5, 2]], [[1, 1, 0]], [(0, 1)])
    np.testing.assert_array_equal(placing.ranks, [1])
    np.testing.assert_array_equal(placing.scores, [[9, 5, -np.inf, -np.inf]])


def test_a_repeated_negative_counts_once():
    placing = place([[9, 5, 2]], [[0, 0, 0, 2]], [(0, 1)])
    np.testing.assert_array_equal(placing.ranks, [1])


def test_every_held_out_item_of_a_user_is_ranked():
    placing = place([[9, 5, 2, 7]], [[1, -1]], [(0, 0), (0, 2), (0, 3)])
    np.testing.assert_array_equal(placing.ranks, [0, 1, 0])


def test_ties_go_by_the_tie_order():
    first, *_, last = ranking.tie_order(6, seed=5)
    others = [item for item in range(6) if item not in (first, last)]
    placing = place(np.zeros((1, 6)), [others], [(0, first), (0, last)], seed=5)
    by_item = dict(zip(sorted((first, last)), placing.ranks, strict=True))
    assert by_item == {first: 0, last: 4}


def test_an_unrankable_item_is_never_a_hit():
    placing = place([[-np.inf, -np.inf, -np.inf]], [[1, 2]], [(0, 0)])
    assert placing.ranks[0] >= 3


def test_nan_scores_are_one_clear_line():
    with pytest.raises(UserError, match="must not be NaN"):
        place([[0, np.nan, 0]], [[1]], [(0, 0)])


@settings(max_examples=50, deadline=None)
@given(
    num_items=st.integers(1, 40), count=st.integers(1, 30), seed=st.integers(0, 10**6)
)
def test_drawn_negatives_are_unknown_and_distinct(num_items, count, seed):
    rng = np.random.default_rng(seed)
    positives = rng.random((4, num_items)) < rng.random()
    matrix = scipy.sparse.csr_matrix(positives.astype(np.float32))
    users = np.array([1, 3])
    drawn = candidates.draw_negatives(users, matrix, count, seed)
    for user, row in zip(users, drawn, strict=True):
        items = row[row >= 0]
        assert len(items) == min(count, num_items - positives[user].sum())
        assert len(np.unique(items)) == len(items)
        assert not positives[user, items].any()
    # A user's negatives do not depend on who else is asked for.
    alone = candidates.draw_negatives(users[1:], matrix, count, seed)
    np.testing.assert_array_equal(alone[0], drawn[1])


def test_drawn_negatives_are_uniform():
    positives = scipy.sparse.csr_matrix(
        np.tile(np.arange(10) % 3 == 0, (3000, 1)).astype(np.float32)
    )
    drawn = candidates.draw_negatives(np.arange(3000), positives, 2, seed=0)
    counts = np.bincount(drawn.ravel(), minlength=10)
    assert not counts[[0, 3, 6, 9]].any()
    assert scipy.stats.chisquare(counts[[1, 2, 4, 5, 7, 8]]).pvalue > 1e-3
