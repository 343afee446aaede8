import itertools

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.data import pipelines
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


def batches(split, count, step=0, seed=0, batch_size=8, negatives=2):
    variable = tf.Variable(step, dtype=tf.int64)
    data = pipelines.pairwise(split, batch_size, negatives, seed, variable)
    return [
        {name: tensor.numpy() for name, tensor in batch.items()}
        for batch in itertools.islice(data, count)
    ]


def assert_equal(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        for name in ("user", "item", "negatives"):
            np.testing.assert_array_equal(a[name], b[name])


def test_an_epoch_holds_each_pair_at_most_once(split):
    steps = pipelines.steps_per_epoch(split, 8)
    assert steps == len(split.train) // 8
    pairs = set(zip(split.train.users, split.train.items, strict=True))
    left_out = []
    found = batches(split, 3 * steps)
    for epoch in range(3):
        part = found[epoch * steps : (epoch + 1) * steps]
        seen = {pair for b in part for pair in zip(b["user"], b["item"], strict=True)}
        assert len(seen) == 8 * steps
        assert seen <= pairs
        left_out.append(frozenset(pairs - seen))
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
    assert pipelines.steps_per_epoch(split, 8) in (5, 6)
    assert_equal(batches(split, 20)[step:], batches(split, 20 - step, step))


def test_the_step_is_read_when_iteration_begins(split):
    step = tf.Variable(0, dtype=tf.int64)
    data = pipelines.pairwise(split, 8, 2, 0, step)
    first = next(iter(data))
    step.assign(7)
    np.testing.assert_array_equal(
        next(iter(data))["item"], batches(split, 1, 7)[0]["item"]
    )
    assert not np.array_equal(first["item"], batches(split, 1, 7)[0]["item"])


def test_two_runs_are_equal_and_two_seeds_are_not(split):
    first = batches(split, 12)
    assert_equal(first, batches(split, 12))
    other = batches(split, 12, seed=1)
    assert not np.array_equal(first[0]["item"], other[0]["item"])


def test_epochs_differ_in_order_and_negatives(split):
    steps = pipelines.steps_per_epoch(split, 8)
    found = batches(split, steps + 1)
    assert not np.array_equal(found[0]["item"], found[steps]["item"])
    negatives = [tuple(b["negatives"].ravel()) for b in found]
    assert len(set(negatives)) == steps + 1


def test_the_number_of_negatives_leaves_the_order_alone(split):
    for a, b in zip(batches(split, 5), batches(split, 5, negatives=4), strict=True):
        np.testing.assert_array_equal(a["item"], b["item"])


def test_a_batch_larger_than_the_data_is_all_of_them(split):
    assert pipelines.steps_per_epoch(split, 1000) == 1
    first, second = batches(split, 2, batch_size=1000)
    assert len(first["item"]) == len(split.train)
    for batch in (first, second):
        pairs = Interactions(batch["user"], batch["item"]).csr(NUM_USERS, NUM_ITEMS)
        assert (pairs != split.train.csr(NUM_USERS, NUM_ITEMS)).nnz == 0
    assert not np.array_equal(first["item"], second["item"])
