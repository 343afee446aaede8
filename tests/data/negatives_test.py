import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dsl_tf.data.negatives import SharedNegatives, UniformNegatives
from dsl_tf.errors import UserError
from dsl_tf.types import Interactions


def interactions(items_of):
    """From a list: the items of each user."""
    pairs = [(u, i) for u, items in enumerate(items_of) for i in sorted(items)]
    table = np.array(pairs, np.int32).reshape(-1, 2)
    return Interactions(table[:, 0], table[:, 1])


def draw(items_of, num_items, users, count, seed=(1, 2)):
    negatives = UniformNegatives(interactions(items_of), len(items_of), num_items)
    return negatives(tf.constant(users, tf.int32), count, tf.constant(seed)).numpy()


@settings(deadline=None)  # the first call of an operation is slow
@given(st.data())
def test_never_a_positive(data):
    num_items = data.draw(st.integers(1, 12))
    items = st.sets(st.integers(0, num_items - 1), max_size=num_items - 1)
    items_of = data.draw(st.lists(items, min_size=1, max_size=6))
    users = np.arange(len(items_of))
    found = draw(items_of, num_items, users, 40)
    for user, row in enumerate(found):
        unseen = set(range(num_items)) - items_of[user]
        assert set(row.tolist()) <= unseen
        if len(unseen) == 1:
            assert set(row.tolist()) == unseen


@pytest.mark.parametrize(
    "items", [set(), {0}, {9}, {0, 9}, {3, 4, 5}, set(range(10)) - {2, 7}]
)
def test_each_unseen_item_is_as_likely_as_any_other(items):
    """Chi-square at 0.001; the seed is fixed, so it fails always or never."""
    found = draw([{1, 2}, items, {5}], 10, np.ones(1000), 40)
    counts = np.bincount(found.ravel(), minlength=10)
    unseen = sorted(set(range(10)) - items)
    assert counts[sorted(items)].sum() == 0
    assert stats.chisquare(counts[unseen]).pvalue > 0.001


def test_how_often_an_item_is_drawn_by_hand():
    """Nine tenths of the draws are of a user who has 1 and 2 of 0 … 3."""
    sampler = UniformNegatives(interactions([{1, 2}, {0}]), 2, 4)
    shares = sampler.shares(np.array([0.9, 0.1]))
    np.testing.assert_allclose(shares, [0.45, 0.1 / 3, 0.1 / 3, 0.45 + 0.1 / 3])
    everything = UniformNegatives(interactions([{0, 1}, {0, 1}]), 2, 2)
    assert everything.shares(np.array([0.5, 0.5])).tolist() == [0.5, 0.5]


def test_draws_are_independent_of_each_other():
    found = draw([set()], 4, np.zeros(20000), 2)
    table = np.histogram2d(found[:, 0], found[:, 1], bins=4)[0]
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_a_user_with_all_items_gets_some_item():
    found = draw([{0, 1, 2}, {0, 1}], 3, [0, 0, 1], 5)
    assert np.all((found >= 0) & (found < 3))
    assert np.all(found[2] == 2)


def test_users_without_training_items_at_either_end():
    found = draw([set(), {0}, set()], 2, [0, 1, 2], 200)
    assert set(found[0]) == set(found[2]) == {0, 1}
    assert set(found[1]) == {1}


def test_a_function_of_the_seed():
    users = np.zeros(50)
    first = draw([{1}], 1000, users, 4, seed=(3, 4))
    np.testing.assert_array_equal(first, draw([{1}], 1000, users, 4, seed=(3, 4)))
    for seed in ((3, 5), (4, 4)):
        assert np.mean(first == draw([{1}], 1000, users, 4, seed=seed)) < 0.02
    assert first.dtype == np.int32


def test_products_beyond_32_bits():
    """3,000,000 users x 2,000,000 items: keys reach 6e12."""
    num_users, num_items = 3_000_000, 2_000_000
    users = np.repeat(num_users - 1, num_items - 2).astype(np.int32)
    items = np.arange(num_items, dtype=np.int32)
    train = Interactions(users, np.delete(items, [5, num_items - 1]))
    negatives = UniformNegatives(train, num_users, num_items)
    found = negatives(tf.constant([num_users - 1]), 100, tf.constant([0, 0])).numpy()
    assert set(found.ravel()) == {5, num_items - 1}


@pytest.mark.parametrize(
    ("exponent", "weights"),
    [
        (0.0, [1, 1, 1, 1, 1]),
        (1.0, [0, 4, 1, 1, 0]),
        (0.5, [0, 2, 1, 1, 0]),
        (-0.5, [2, 1, 2, 2, 2]),
    ],
)
def test_shared_negatives_in_proportion_to_a_power_of_popularity(exponent, weights):
    train = interactions([{1}, {1, 2}, {1}, {1, 3}])
    sampler = SharedNegatives(train, 4, 5, exponent)
    found = sampler(tf.zeros([3], tf.int32), 20000, tf.constant([1, 2])).numpy()
    assert found.shape == (1, 20000)
    assert found.dtype == np.int32
    counts, expected = np.bincount(found[0], minlength=5), np.array(weights, float)
    assert counts[expected == 0].sum() == 0
    expected *= found.size / expected.sum()
    drawn = expected > 0
    assert stats.chisquare(counts[drawn], expected[drawn]).pvalue > 0.001


@pytest.mark.parametrize(
    ("shared_by", "groups"), [(0, 1), (7, 1), (3, 3), (6, 2), (1, 7)]
)
def test_who_shares_negatives(shared_by, groups):
    sampler = SharedNegatives(interactions([{1}, {2}]), 2, 1000, 0.0, shared_by)
    found = sampler(tf.zeros([7], tf.int32), 20, tf.constant([1, 2])).numpy()
    assert found.shape == (groups, 20)
    assert len(np.unique(found, axis=0)) == groups
    assert sampler.drawn(7, 20) == found.size


def test_what_keys_may_be():
    train = interactions([{0}])
    with pytest.raises(UserError, match=r"`train\.shared_by` must be at least 0"):
        SharedNegatives(train, 1, 2, 0.0, -1)
    often = interactions([{0, 1}, {1}, {1}])
    for exponent in (1e4, float("inf"), float("nan")):
        with pytest.raises(UserError, match=rf"can be summed\. Received: {exponent}"):
            SharedNegatives(often, 3, 2, exponent)
    with pytest.raises(UserError, match=r"must be 0 with .*per_pair.* Received: 0\.5"):
        UniformNegatives(train, 1, 2, 0.5)
