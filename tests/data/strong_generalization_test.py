import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl_tf.data import splits
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Interactions


def dataset_of(matrix):
    """A data set of a bool matrix; raw ids are `u<row>` and `i<column>`."""
    users, items = np.nonzero(matrix)
    ids = [
        np.array([f"{kind}{row}" for row in range(count)], object)
        for kind, count in zip("ui", matrix.shape, strict=True)
    ]
    pairs = Interactions(users.astype(np.int32), items.astype(np.int32))
    return Dataset("sample", *ids, pairs)


def random_matrix(seed, num_users=60, num_items=40, density=0.3):
    return np.random.default_rng(seed).random((num_users, num_items)) < density


def parts(split):
    return split.train, split.fold_in, split.validation, split.test


def pairs(part, split):
    """Raw ids, which do not change with the vocabulary."""
    users, items = split.user_ids[part.users], split.item_ids[part.items]
    return set(zip(users, items, strict=True))


@pytest.fixture
def config(data_config):
    return data_config(split="strong_generalization")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.sampled_from([0.05, 0.3]))
def test_users_are_held_out_whole(data_config, seed, density):
    matrix = random_matrix(seed, density=density)
    config = data_config(split="strong_generalization", seed=seed % 5)
    split = splits.split_dataset(dataset_of(matrix), config)
    train, fold_in, validation, test = (
        np.bincount(part.users, minlength=60) for part in parts(split)
    )
    held_out = validation + test
    assert not (train & (fold_in + held_out)).any()
    assert not (validation & test).any()
    # A user is asked about a fifth of the items, and asked from the others.
    n = fold_in + held_out
    expected = np.where(n >= 2, np.maximum(np.floor(0.2 * n + 0.5), 1), 0)
    np.testing.assert_array_equal(held_out, expected)
    # Every item is in the training part, and nothing of it is lost.
    assert np.bincount(split.train.items, minlength=split.num_items).all()
    kept = {(f"u{u}", f"i{i}") for u, i in zip(*np.nonzero(matrix), strict=True)}
    kept = {(user, item) for user, item in kept if item in set(split.item_ids)}
    together = [pairs(part, split) for part in parts(split)]
    assert sum(map(len, together)) == len(kept)
    assert set().union(*together) == kept
    for part in parts(split):
        keys = part.users.astype(np.int64) * split.num_items + part.items
        assert (np.diff(keys) > 0).all()
        assert part.users.dtype == part.items.dtype == np.int32


def test_a_tenth_of_the_users_validates_and_a_tenth_tests(config):
    split = splits.split_dataset(dataset_of(random_matrix(0)), config)
    counts = [len(np.unique(part.users)) for part in parts(split)]
    assert counts == [48, 12, 6, 6]
    assert split.num_users == 60
    assert split.label == "dsl_tf strong_generalization 0.1/0.2 split, seed 0"


def test_shares_are_those_of_the_config(data_config):
    matrix = np.ones((20, 10), bool)
    config = data_config(
        split="strong_generalization", validation_fraction=0.25, test_fraction=0.5
    )
    split = splits.split_dataset(dataset_of(matrix), config)
    assert [len(np.unique(part.users)) for part in parts(split)] == [10, 10, 5, 5]
    assert [len(part) for part in parts(split)] == [100, 50, 25, 25]
    assert split.label == "dsl_tf strong_generalization 0.25/0.5 split, seed 0"


def test_seeds_choose_users_and_items(data_config):
    dataset = dataset_of(np.ones((20, 10), bool))
    found = [
        splits.split_dataset(
            dataset, data_config(split="strong_generalization", seed=seed)
        )
        for seed in (0, 0, 1)
    ]
    prints = [split.fingerprint() for split in found]
    assert prints[0] == prints[1] != prints[2]
    # Of one user's choice the others know nothing.
    by_user = found[0].test.items.reshape(2, 2)
    assert by_user[0].tolist() != by_user[1].tolist()


def test_items_of_held_out_users_only_leave_the_vocabulary(config):
    """Item u is of user u alone, the last three are everybody's."""
    matrix = np.hstack([np.eye(20, dtype=bool), np.ones((20, 3), bool)])
    split = splits.split_dataset(dataset_of(matrix), config)
    trained = np.unique(split.train.users)
    expected = [f"i{user}" for user in trained] + ["i20", "i21", "i22"]
    assert split.item_ids.tolist() == expected
    assert split.num_items == 19
    assert split.warnings == (
        "4 items occur with held-out users only and left the vocabulary.",
    )


def test_a_user_with_one_item_is_not_asked_about(config):
    matrix = np.ones((20, 5), bool)
    whole = splits.split_dataset(dataset_of(matrix), config)
    user = whole.test.users[0]
    matrix[user, 1:] = False
    split = splits.split_dataset(dataset_of(matrix), config)
    assert user not in split.test.users
    assert (split.fold_in.users == user).sum() == 1
    assert split.warnings == ("1 held-out users have no item to ask for.",)


def test_a_split_of_the_source_is_dissolved(config):
    dataset = dataset_of(random_matrix(3))
    is_test = np.arange(len(dataset.train)) % 3 == 0
    given_one = dataclasses.replace(
        dataset,
        train=dataset.train.take(~is_test),
        test=dataset.train.take(is_test),
        candidates=np.zeros((60, 2), np.int32),
        warnings=("untidy.",),
    )
    split = splits.split_dataset(given_one, config)
    expected = splits.split_dataset(dataset, config)
    assert split.fingerprint() == expected.fingerprint()
    assert split.candidates is None
    assert split.warnings[0] == "untidy."


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_a_share_that_leaves_nobody_is_refused(data_config, fraction):
    config = data_config(split="strong_generalization", validation_fraction=fraction)
    with pytest.raises(UserError, match=r"in \(0, 0.5\) for .*fraction=") as error:
        splits.check(config)
    assert "\n" not in str(error.value)


def test_too_few_users_are_refused(config):
    with pytest.raises(UserError, match=r"must leave users to train on.*2 users"):
        splits.split_dataset(dataset_of(np.ones((2, 5), bool)), config)


def test_nothing_to_ask_for_is_refused(config):
    with pytest.raises(UserError, match="must have training and test"):
        splits.split_dataset(dataset_of(np.ones((9, 1), bool)), config)
