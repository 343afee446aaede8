from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsl_tf.data import holdout
from dsl_tf.errors import UserError
from dsl_tf.streams import generator
from dsl_tf.types import Interactions


def interactions_of(counts, times=None):
    """User u with items 0, 1, … `counts[u]` of them."""
    users = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    items = np.concatenate([np.arange(n, dtype=np.int32) for n in counts])
    return Interactions(users, items, None, times)


def test_validation_counts_are_the_protocols():
    counts = np.array([0, 1, 2, 3, 4, 5, 14, 15, 24, 25, 100])
    expected = [0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 10]
    assert holdout.validation_counts(counts, 0.1).tolist() == expected
    assert not holdout.validation_counts(counts, 0.0).any()


def test_test_counts_leave_a_training_item():
    counts = np.array([0, 1, 2, 3, 7, 8, 10, 100])
    assert holdout.test_counts(counts, 0.2).tolist() == [0, 0, 1, 1, 1, 2, 2, 20]
    assert holdout.test_counts(counts, 0.99).tolist() == [0, 0, 1, 2, 6, 7, 9, 99]


@given(st.integers(0, 10_000))
def test_carve_rounds_halves_up_exactly(n):
    exact = int(Fraction(n, 10) + Fraction(1, 2))
    expected = max(exact, 1) if n >= 3 else 0
    assert holdout.validation_counts(np.array([n]), 0.1).item() == expected


@given(st.lists(st.integers(0, 12), min_size=1, max_size=9), st.integers(0, 3))
def test_random_per_user_takes_exactly_what_is_asked(counts, seed):
    counts = np.array(counts)
    held_out = counts // 2
    data = interactions_of(counts)
    mask = holdout.random_per_user(data, held_out, generator(seed, "a"))
    taken = np.bincount(data.users[mask], minlength=len(counts))
    assert taken.tolist() == held_out.tolist()
    again = holdout.random_per_user(data, held_out, generator(seed, "a"))
    assert np.array_equal(mask, again)


def test_every_item_is_held_out_equally_often():
    data, half = interactions_of([5] * 4000), np.full(4000, 2)
    mask = holdout.random_per_user(data, half, generator(0, "a"))
    shares = mask.reshape(4000, 5).mean(axis=0)
    # Binomial: standard deviation sqrt(.4 * .6 / 4000) = .0077.
    assert np.allclose(shares, 0.4, atol=0.04)


def test_latest_per_user_goes_by_time():
    times = np.array([30, 10, 20, 5, 6])
    data = interactions_of([3, 2], times)
    mask = holdout.latest_per_user(data, np.array([2, 1]), generator(0, "a"))
    assert mask.tolist() == [True, False, True, False, True]


def test_latest_per_user_draws_between_equal_times():
    data = interactions_of([2] * 1000, np.zeros(2000, np.int64))
    mask = holdout.latest_per_user(data, np.full(1000, 1), generator(0, "a"))
    assert 400 < mask[::2].sum() < 600


def test_latest_takes_the_global_end():
    times = np.array([9, 1, 8, 2, 7, 3, 6, 4, 5, 0])
    mask = holdout.latest(interactions_of([4, 6], times), 0.25, generator(0, "a"))
    assert sorted(times[mask].tolist()) == [7, 8, 9]  # floor(2.5 + 0.5)


def test_latest_needs_times():
    with pytest.raises(UserError, match="needs a source with times"):
        holdout.latest(interactions_of([2]), 0.5, generator(0, "a"))
