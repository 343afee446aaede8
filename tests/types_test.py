import dataclasses
import hashlib

import numpy as np
import pytest

from dsl_tf.types import Interactions, Split, empty_interactions


def pairs(*values):
    table = np.array(values, np.int32).reshape(-1, 2)
    return Interactions(table[:, 0], table[:, 1])


def make_split(**changed):
    split = Split(
        name="tiny",
        user_ids=np.array(["a", "b", "c"], object),
        item_ids=np.array(["x", "y"], object),
        train=pairs((0, 0), (0, 1), (2, 1)),
        validation=pairs((2, 0)),
        test=pairs((1, 0)),
    )
    return dataclasses.replace(split, **changed)


def test_interactions_take_all_columns():
    interactions = Interactions(
        np.array([0, 1, 2], np.int32),
        np.array([5, 6, 7], np.int32),
        ratings=np.array([1, 2, 3], np.float32),
        times=np.array([10, 20, 30], np.int64),
    )
    for index in (np.array([2, 0]), np.array([True, False, True])):
        taken = interactions.take(index)
        assert sorted(taken.items.tolist()) == [5, 7]
        assert sorted(taken.ratings.tolist()) == [1, 3]
        assert sorted(taken.times.tolist()) == [10, 30]
    assert len(taken) == 2
    assert pairs((0, 0)).take(np.array([0])).ratings is None
    assert len(empty_interactions()) == 0


def test_interactions_must_be_pairs():
    with pytest.raises(ValueError, match="vectors of one length"):
        Interactions(np.zeros(2, np.int32), np.zeros(3, np.int32))


def test_csr_is_binary_and_sorted():
    matrix = pairs((1, 3), (1, 0), (0, 2), (1, 3)).csr(3, 4)
    assert matrix.toarray().tolist() == [[0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]]
    assert matrix[1].indices.tolist() == [0, 3]
    assert matrix.dtype == np.float32


def test_counts():
    split = make_split()
    assert (split.num_users, split.num_items) == (3, 2)
    assert split.activity().tolist() == [2, 0, 1]
    assert split.popularity().tolist() == [1, 2]


def test_the_fingerprint_is_of_sizes_and_pairs():
    split = make_split()
    digest = hashlib.sha256(b"3 2")
    for users, items in (([0, 0, 2], [0, 1, 1]), ([2], [0]), ([1], [0])):
        digest.update(b"|" + np.array([*users, *items], "<i4").tobytes())
    assert split.fingerprint() == digest.hexdigest()
    # Of the pairs' values, not of how they are stored.
    wide = Interactions(split.train.users.astype(np.int64), split.train.items[::1])
    assert make_split(train=wide).fingerprint() == split.fingerprint()


@pytest.mark.parametrize(
    "changed",
    [
        {"train": pairs((0, 0), (0, 1), (2, 0))},
        {"test": empty_interactions()},
        {"validation": pairs((1, 0)), "test": pairs((2, 0))},
        {"item_ids": np.array(["x", "y", "z"], object)},
    ],
)
def test_the_fingerprint_tells_splits_apart(changed):
    assert make_split(**changed).fingerprint() != make_split().fingerprint()


def strong_split():
    """Users a is trained on, b validates, c tests."""
    return make_split(
        train=pairs((0, 0), (0, 1)),
        fold_in=pairs((1, 1), (2, 0)),
        validation=pairs((1, 0)),
        test=pairs((2, 1)),
    )


def test_the_fingerprint_is_of_the_fold_in_too():
    split = strong_split()
    without = dataclasses.replace(split, fold_in=None)
    changed = dataclasses.replace(split, fold_in=pairs((1, 1), (2, 1)))
    assert len({each.fingerprint() for each in (split, without, changed)}) == 3


def test_the_fingerprint_is_of_the_candidates_too():
    """They decide what a held-out item is ranked among."""
    given = [None, *(np.array(each, np.int32) for each in ([[0], [1], [1]], [[0]] * 3))]
    given.append(given[1].T)
    prints = {make_split(candidates=each).fingerprint() for each in given}
    assert len(prints) == 4
    wide = make_split(candidates=given[1].astype(np.int64))
    assert wide.fingerprint() == make_split(candidates=given[1]).fingerprint()


def listed(part):
    return list(zip(part.users.tolist(), part.items.tolist(), strict=True))


def test_known_is_what_a_model_is_asked_from():
    assert listed(make_split().known()) == [(0, 0), (0, 1), (2, 1)]
    assert listed(strong_split().known()) == [(0, 0), (0, 1), (1, 1), (2, 0)]


def test_merged_is_sorted():
    merged = pairs((0, 1), (2, 0)).merged(pairs((0, 0), (1, 1)))
    assert listed(merged) == [(0, 0), (0, 1), (1, 1), (2, 0)]
    assert merged.users.dtype == merged.items.dtype == np.int32


def test_with_validation():
    together = make_split().with_validation()
    assert listed(together.train) == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert len(together.validation) == 0
    assert listed(together.test) == [(1, 0)]
    assert together.fold_in is None


def test_users_held_out_for_validation_join_with_all_their_items():
    together = strong_split().with_validation()
    assert listed(together.train) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len(together.validation) == 0
    assert listed(together.fold_in) == [(2, 0)]
    assert listed(together.test) == [(2, 1)]
