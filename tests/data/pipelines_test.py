import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.data import pipelines, positives
from dsl_tf.data.negatives import find
from dsl_tf.errors import UserError
from dsl_tf.types import Interactions, Split, empty_interactions

NUM_USERS, NUM_ITEMS = 7, 30


@pytest.fixture
def split(rng):
    known = rng.random((NUM_USERS, NUM_ITEMS)) < 0.25
    users, items = (index.astype(np.int32) for index in np.nonzero(known))
    return Split(
        name="random",
        user_ids=np.arange(NUM_USERS).astype(object),
        item_ids=np.arange(NUM_ITEMS).astype(object),
        train=Interactions(users, items),
        validation=empty_interactions(),
        test=empty_interactions(),
    )


def pairs(
    split,
    seed=0,
    batch_size=8,
    negatives=2,
    sampling="per_pair",
    chosen="interactions",
):
    sampler = find(sampling)(split.train, NUM_USERS, NUM_ITEMS)
    chooses = positives.find(chosen)(split.train)
    return pipelines.Pairs(split, batch_size, chooses, sampler, negatives, seed)


def first(batches, count, step=0):
    data = batches.dataset(tf.Variable(step, dtype=tf.int64))
    return [
        {name: tensor.numpy() for name, tensor in batch.items()}
        for batch in itertools.islice(data, count)
    ]


def batches(split, count, step=0, **settings):
    return first(pairs(split, **settings), count, step)


def assert_equal(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        for name in ("user", "item", "negatives"):
            np.testing.assert_array_equal(a[name], b[name])


def test_an_epoch_holds_each_pair_at_most_once(split):
    steps = pairs(split).steps_per_epoch
    assert steps == len(split.train) // 8
    known = set(zip(split.train.users, split.train.items, strict=True))
    left_out = []
    found = batches(split, 3 * steps)
    for epoch in range(3):
        part = found[epoch * steps : (epoch + 1) * steps]
        seen = {pair for b in part for pair in zip(b["user"], b["item"], strict=True)}
        assert len(seen) == 8 * steps
        assert seen <= known
        left_out.append(frozenset(known - seen))
    assert len(set(left_out)) > 1  # not the same ones in every epoch


def test_shapes_types_and_true_negatives(split):
    known = split.train.csr(NUM_USERS, NUM_ITEMS).toarray()
    for batch in batches(split, 10):
        assert batch["user"].shape == batch["item"].shape == (8,)
        assert batch["negatives"].shape == (8, 2)
        assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}
        assert np.all(known[batch["user"], batch["item"]] == 1)
        assert np.all(known[batch["user"][:, None], batch["negatives"]] == 0)


@pytest.mark.parametrize("step", [1, 4, 5, 6, 13])
def test_any_step_is_as_good_a_start_as_the_first(split, step):
    assert pairs(split).steps_per_epoch in (5, 6)
    assert_equal(batches(split, 20)[step:], batches(split, 20 - step, step))


def test_the_step_is_read_when_iteration_begins(split):
    step = tf.Variable(0, dtype=tf.int64)
    data = pairs(split).dataset(step)
    begin = next(iter(data))
    step.assign(7)
    np.testing.assert_array_equal(
        next(iter(data))["item"], batches(split, 1, 7)[0]["item"]
    )
    assert not np.array_equal(begin["item"], batches(split, 1, 7)[0]["item"])


def test_two_runs_are_equal_and_two_seeds_are_not(split):
    found = batches(split, 12)
    assert_equal(found, batches(split, 12))
    other = batches(split, 12, seed=1)
    assert not np.array_equal(found[0]["item"], other[0]["item"])


def test_epochs_differ_in_order_and_negatives(split):
    steps = pairs(split).steps_per_epoch
    found = batches(split, steps + 1)
    assert not np.array_equal(found[0]["item"], found[steps]["item"])
    negatives = [tuple(b["negatives"].ravel()) for b in found]
    assert len(set(negatives)) == steps + 1


def test_the_number_of_negatives_leaves_the_order_alone(split):
    for a, b in zip(batches(split, 5), batches(split, 5, negatives=4), strict=True):
        np.testing.assert_array_equal(a["item"], b["item"])


def test_a_batch_larger_than_the_data_is_all_of_them(split):
    assert pairs(split, batch_size=1000).steps_per_epoch == 1
    begin, second = batches(split, 2, batch_size=1000)
    assert len(begin["item"]) == len(split.train)
    for batch in (begin, second):
        found = Interactions(batch["user"], batch["item"]).csr(NUM_USERS, NUM_ITEMS)
        assert (found != split.train.csr(NUM_USERS, NUM_ITEMS)).nnz == 0
    assert not np.array_equal(begin["item"], second["item"])


def test_shared_negatives_serve_a_whole_batch(split):
    found = batches(split, 40, negatives=20, sampling="shared")
    drawn = np.stack([batch["negatives"] for batch in found])
    assert drawn.shape == (40, 1, 20)
    assert drawn.dtype == np.int32
    # Each of the 30 items is expected 27 times, give or take 5.
    counts = np.bincount(drawn.ravel(), minlength=NUM_ITEMS)
    assert len(counts) == NUM_ITEMS
    assert counts.min() > 5
    assert counts.max() < 60
    # The positives are those of the other sampler.
    assert_equal(
        [{**batch, "negatives": 0} for batch in found],
        [{**batch, "negatives": 0} for batch in batches(split, 40)],
    )


def test_uniform_users_weigh_alike_and_so_do_a_users_items(split):
    found = batches(split, 400, batch_size=16, chosen="users")
    known = split.train.csr(NUM_USERS, NUM_ITEMS).toarray()
    counts = np.zeros_like(known)
    for batch in found:
        np.add.at(counts, (batch["user"], batch["item"]), 1)
        assert np.all(known[batch["user"][:, None], batch["negatives"]] == 0)
    assert np.all(counts[known == 0] == 0)
    active = np.count_nonzero(known.sum(axis=1))
    # Of 6,400 draws: each within five standard deviations of its expectation.
    share = known / known.sum(axis=1, keepdims=True) / active
    expected = 6400 * share[known == 1]
    assert np.all(np.abs(counts[known == 1] - expected) < 5 * np.sqrt(expected))
    per_user = counts.sum(axis=1)
    assert np.all(np.abs(per_user - 6400 / active) < 5 * np.sqrt(6400 / active))


def test_each_of_many_users_is_drawn():
    """Of floats with 23 bits one in six of ten million users never was."""
    users = np.arange(10_000_000, dtype=np.int32)
    choose = positives.find("users")(Interactions(users, users % 7))
    draws = 4_000_000
    found = choose(tf.range(draws), tf.constant([3, 4])).numpy()
    distinct = len(np.unique(found))
    expected = len(users) * (1 - np.exp(-draws / len(users)))
    assert distinct == pytest.approx(expected, rel=0.005)


def test_uniform_users_leave_out_who_has_nothing(split):
    train = split.train.take(split.train.users != 2)
    found = batches(dataclasses.replace(split, train=train), 40, chosen="users")
    drawn = {user for batch in found for user in batch["user"]}
    assert drawn == set(range(NUM_USERS)) - {2}


def test_uniform_users_start_at_any_step(split):
    found = batches(split, 12, chosen="users")
    assert_equal(found[7:], batches(split, 5, 7, chosen="users"))
    assert not np.array_equal(found[0]["item"], found[1]["item"])


def test_what_a_step_takes_in(split):
    assert pairs(split).size == (8, 8 + 16, 24, 8)
    assert pairs(split, sampling="shared", negatives=5).size == (8, 8 + 5, 48, 8)
    users = pipelines.Users(split, 3, 0)
    per_user = len(split.train) / np.count_nonzero(split.activity())
    assert users.size == (3, NUM_ITEMS, 3 * NUM_ITEMS, round(3 * per_user))


@pytest.mark.parametrize("chosen", ["interactions", "users"])
@pytest.mark.parametrize("sampling", ["per_pair", "shared"])
def test_shares_are_how_often_rows_are_drawn(split, sampling, chosen):
    made = pairs(split, batch_size=16, negatives=4, sampling=sampling, chosen=chosen)
    steps, shares = 600, made.shares
    counts = {"user": 0, "item": 0, "negatives": 0}
    for batch in first(made, steps):
        for name in counts:
            rows = NUM_USERS if name == "user" else NUM_ITEMS
            counts[name] += np.bincount(batch[name].ravel(), minlength=rows)
    looked_up = counts["item"] + counts["negatives"]
    drawn = 64 if sampling == "per_pair" else 4
    assert looked_up.sum() == steps * made.size.items == steps * (16 + drawn)
    for found, expected in (
        (counts["user"], shares.users),
        (counts["item"], shares.positives),
        (looked_up, shares.items),
    ):
        expected = found.sum() * expected
        assert abs(expected.sum() - found.sum()) < 1e-6
        assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected) + 1e-9)
    # Of five items in the pairs of a positive one is its own.
    others = counts["negatives"] / counts["negatives"].sum()
    np.testing.assert_allclose(
        shares.pairs, (shares.positives + 4 * others) / 5, atol=0.02
    )


def test_shares_where_users_are_scored_with_all_items(split):
    train = split.train.take(split.train.users != 2)
    users = pipelines.Users(dataclasses.replace(split, train=train), 2, 0)
    assert users.shares.users.tolist() == [1 / 6, 1 / 6, 0, 1 / 6, 1 / 6, 1 / 6, 1 / 6]
    for each in (users.shares.items, users.shares.pairs):
        np.testing.assert_allclose(each, np.full(NUM_ITEMS, 1 / NUM_ITEMS))
    popularity = np.bincount(train.items, minlength=NUM_ITEMS)
    np.testing.assert_allclose(users.shares.positives * len(train), popularity)


def test_users_with_training_items_once_an_epoch(split):
    train = split.train.take(split.train.users != 2)
    users = pipelines.Users(dataclasses.replace(split, train=train), 2, 0)
    assert users.steps_per_epoch == 3
    found = first(users, 6)
    assert {array.dtype for batch in found for array in batch.values()} == {
        np.dtype(np.int32)
    }
    epochs = np.concatenate([batch["user"] for batch in found]).reshape(2, 6)
    np.testing.assert_array_equal(np.sort(epochs), [[0, 1, 3, 4, 5, 6]] * 2)
    assert not np.array_equal(epochs[0], epochs[1])
    resumed = first(users, 2, step=4)
    np.testing.assert_array_equal(resumed[0]["user"], found[4]["user"])


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"batch_size": 0}, "`train.batch_size` must be at least 1. Received: 0"),
        ({"negatives": 0}, "`train.negatives` must be from 1 .* 30. Received: 0"),
        ({"negatives": 31}, "`train.negatives` must be from 1 .* 30. Received: 31"),
        ({"sampling": "popular"}, "`train.sampling` must be one of per_pair, shared"),
        ({"chosen": "items"}, "`train.positives` must be one of interactions, users"),
    ],
)
def test_out_of_range(split, settings, rule):
    with pytest.raises(UserError, match=rule):
        pairs(split, **settings)
