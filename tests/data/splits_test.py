import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsl_tf.data import holdout, loading, splits
from dsl_tf.data.loading import filtered
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Interactions

ROWS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 14), st.integers(0, 5)),
    min_size=3,
    max_size=80,
)
WAYS = st.sampled_from(["ratio", "leave_one_out", "temporal"])


def dataset_of(rows):
    users, items, times = np.array(rows, np.int64).T
    ids = [np.arange(n).astype(str).astype(object) for n in (10, 15)]
    interactions = Interactions(
        users.astype(np.int32), items.astype(np.int32), None, times
    )
    return filtered(Dataset("sample", *ids, interactions), 0.0, 0)


def pairs(part):
    return list(zip(part.users.tolist(), part.items.tolist(), strict=True))


def parts(split):
    return split.train, split.validation, split.test


def split_or_refuse(dataset, config):
    """None for the few inputs too small to have a training and a test part."""
    try:
        return splits.split_dataset(dataset, config)
    except UserError as error:
        if "must have training and test interactions" not in str(error):
            raise
        return None


@given(ROWS, WAYS, st.integers(0, 3))
def test_parts_are_sorted_disjoint_and_everything(data_config, rows, way, seed):
    config = data_config(split=way, seed=seed)
    split = split_or_refuse(dataset_of(rows), config)
    if split is None:
        return
    listed = [pairs(part) for part in parts(split)]
    assert all(part == sorted(set(part)) for part in listed)
    together = [pair for part in listed for pair in part]
    assert sorted(together) == sorted({(u, i) for u, i, _ in rows})
    assert all(part.users.dtype == np.int32 for part in parts(split))
    assert all(part.items.dtype == np.int32 for part in parts(split))


@given(ROWS, WAYS, st.integers(0, 3), st.randoms())
def test_answer_does_not_depend_on_row_order(data_config, rows, way, seed, random):
    config = data_config(split=way, seed=seed)
    split = split_or_refuse(dataset_of(rows), config)
    shuffled = rows.copy()
    random.shuffle(shuffled)
    other = split_or_refuse(dataset_of(shuffled), config)
    assert (split is None) == (other is None)
    if split is not None:
        assert split.fingerprint() == other.fingerprint()


@given(ROWS, st.sampled_from(["ratio", "leave_one_out"]))
def test_every_user_keeps_a_training_item(data_config, rows, way):
    split = split_or_refuse(dataset_of(rows), data_config(split=way))
    if split is not None:
        assert set(split.train.users) == {user for user, _, _ in rows}
        assert not any("no training items" in line for line in split.warnings)


@given(ROWS, WAYS)
def test_validation_is_carved_by_the_protocols_count(data_config, rows, way):
    split = split_or_refuse(dataset_of(rows), data_config(split=way))
    if split is None:
        return
    carved = np.bincount(split.validation.users, minlength=10)
    training = np.bincount(split.train.users, minlength=10) + carved
    expected = holdout.validation_counts(training, 0.1)
    if way == "leave_one_out":
        expected = np.minimum(expected, 1)
    assert carved.tolist() == expected.tolist()


def test_ratio_holds_out_a_fifth_of_each_user(data_config):
    rows = [(u, i, 0) for u, n in enumerate([1, 2, 10, 15]) for i in range(n)]
    split = splits.split_dataset(dataset_of(rows), data_config())
    assert np.bincount(split.test.users).tolist() == [0, 1, 2, 3]
    assert np.bincount(split.validation.users).tolist() == [0, 0, 1, 1]
    assert split.label == "dsl_tf ratio 0.2 split, seed 0"
    assert "1 users have no test items." in split.warnings


def test_seeds_differ(data_config):
    rows = [(u, i, 0) for u in range(5) for i in range(10)]
    prints = {
        splits.split_dataset(dataset_of(rows), data_config(seed=s)).fingerprint()
        for s in range(3)
    }
    assert len(prints) == 3


def test_leave_one_out_takes_the_last_by_time(data_config):
    rows = [(0, i, t) for i, t in enumerate([3, 9, 1, 4])] + [(1, 5, 7), (2, 3, 1)]
    rows += [(2, 4, 0)]
    config = data_config(split="leave_one_out")
    split = splits.split_dataset(dataset_of(rows), config)
    assert pairs(split.test) == [(0, 1), (2, 3)]
    assert pairs(split.validation) == [(0, 3)]  # user 2 has one item left
    assert pairs(split.train) == [(0, 0), (0, 2), (1, 5), (2, 4)]
    assert split.label == "dsl_tf leave_one_out split, seed 0"


def test_temporal_cuts_all_users_at_one_time(data_config):
    rows = [(0, i, i) for i in range(6)] + [(1, 0, 9), (1, 1, 8), (2, 1, 3), (2, 2, 4)]
    split = splits.split_dataset(dataset_of(rows), data_config(split="temporal"))
    assert pairs(split.test) == [(1, 0), (1, 1)]
    assert pairs(split.validation) == [(0, 5)]  # the latest of six
    assert "1 test users have no training items." in split.warnings


def test_leave_one_out_without_times_says_that_it_is_random(data_config):
    rows = Interactions(*np.array([[0, 0], [0, 1], [1, 0], [1, 2]], np.int32).T)
    ids = np.arange(3).astype(str).astype(object)
    dataset = Dataset("x", ids[:2], ids, rows)
    split = splits.split_dataset(dataset, data_config(split="leave_one_out"))
    assert split.label == "dsl_tf random leave_one_out split, seed 0"
    assert any("Without times" in each for each in split.warnings)


def test_the_latest_of_a_single_list_may_validate(tmp_path, data_config):
    """The order of its lines was lost on the way."""
    path = tmp_path / "likes.txt"
    path.write_text(
        "".join(f"{u} {' '.join(map(str, range(9, -1, -1)))}\n" for u in (0, 1))
    )
    config = data_config(path=str(path), validation="latest")
    split = loading.load_split(config)
    known = np.concatenate([split.train.items, split.validation.items])
    assert split.validation.items.max() < split.train.items.max()
    assert len(known) + len(split.test) == 20
    for user in (0, 1):
        held = split.validation.items[split.validation.users == user]
        rest = split.train.items[split.train.users == user]
        assert held.max() < rest.min()  # the last of a line are the smallest


def test_a_validation_part_that_is_all_in_train_is_made_anew(data_config):
    train = Interactions(*np.array([[0, i] for i in range(8)], np.int32).T)
    test = Interactions(*np.array([[0, 8]], np.int32).T)
    ids = np.arange(9).astype(str).astype(object)
    dataset = Dataset("x", ids[:1], ids, train, test, train.take(np.arange(8) < 3))
    split = splits.split_dataset(dataset, data_config())
    assert any("left validation" in each for each in split.warnings)
    assert len(split.validation) == 1


def test_the_latest_may_validate(data_config):
    """By time, and where there is none by place; the test split stays."""
    rows = [(u, i, (7 * i + u) % 10) for u in (0, 1) for i in range(10)]
    random = splits.split_dataset(dataset_of(rows), data_config())
    config = data_config(validation="latest")
    split = splits.split_dataset(dataset_of(rows), config)
    assert pairs(split.test) == pairs(random.test)
    test = pairs(split.test)
    for user in (0, 1):
        left = [row for row in rows if row[0] == user and row[:2] not in test]
        latest = max(left, key=lambda row: row[2])
        assert [p for p in pairs(split.validation) if p[0] == user] == [latest[:2]]


def test_the_last_of_an_adjacency_list_may_validate(tmp_path, data_config):
    lists = {"train": "0 5 3 9 1\n1 2 8 0 4 7\n", "test": "0 2\n1 1\n"}
    for name, text in lists.items():
        (tmp_path / f"{name}.txt").write_text(text)
    config = data_config(path=str(tmp_path), validation="latest")
    split = loading.load_split(config)
    assert pairs(split.validation) == [(0, 1), (1, 7)]
    assert pairs(split.train) == [
        *((0, 3), (0, 5), (0, 9)),
        *((1, 0), (1, 2), (1, 4), (1, 8)),
    ]


def test_without_times_and_places_there_is_no_latest(
    make_interactions, make_dataset, data_config
):
    dataset = given_sample(make_interactions, make_dataset)
    dataset = dataclasses.replace(dataset, validation=None)
    with pytest.raises(UserError, match=r"`data\.validation=latest` needs a source"):
        splits.split_dataset(dataset, data_config(validation="latest"))


def test_no_validation_if_none_is_wanted(data_config):
    rows = [(u, i, 0) for u in range(3) for i in range(10)]
    config = data_config(validation_fraction=0.0)
    split = splits.split_dataset(dataset_of(rows), config)
    assert len(split.validation) == 0
    assert len(split.train) == 24


def given_sample(make_interactions, make_dataset):
    """Pairs in two parts; a cold user; an item only in test."""
    return make_dataset(
        make_interactions((0, 0), (0, 1), (1, 1), (3, 0)),
        make_interactions((0, 1), (0, 2), (1, 0), (2, 3)),
        make_interactions((0, 0), (0, 2), (1, 2)),
        split_label="theirs",
    )


def test_given_split_is_used_as_given(make_interactions, make_dataset, data_config):
    dataset = given_sample(make_interactions, make_dataset)
    split = splits.split_dataset(dataset, data_config())
    assert pairs(split.train) == [(0, 0), (0, 1), (1, 1), (3, 0)]
    assert pairs(split.test) == [(0, 2), (1, 0), (2, 3)]
    assert pairs(split.validation) == [(1, 2)]
    assert split.label == "theirs"
    assert split.warnings == (
        "1 pairs in both train and test left test.",
        "2 pairs in another part too left validation.",
        "1 test users have no training items.",
        "1 users have no test items.",
        "1 items occur only in test.",
    )


def test_a_validation_part_that_empties_a_user_is_told(
    make_interactions, make_dataset, data_config
):
    dataset = make_dataset(
        make_interactions((0, 0), (0, 1)),
        make_interactions((0, 2), (1, 2)),
        make_interactions((1, 0), (1, 1)),
        split_label="theirs",
    )
    split = splits.split_dataset(dataset, data_config())
    assert "1 validation users have no training items." in split.warnings


@pytest.mark.parametrize("way", ["auto", "ratio"])
def test_a_way_of_validation_that_has_no_effect_is_told(
    make_interactions, make_dataset, data_config, way
):
    rows = [(u, i, 0, i) for u in range(2) for i in range(9)]
    dataset = make_dataset(
        make_interactions(*rows[:7], *rows[9:16]),
        make_interactions(rows[7], rows[16]),
        make_interactions(rows[8], rows[17]),
    )
    config = data_config(split=way, validation="latest")
    warning = (
        "The source brings its validation part: `data.validation=latest` has no effect."
    )
    split = splits.split_dataset(dataset, config)
    assert (warning in split.warnings) == (way == "auto")
    config.validation = "random"
    assert warning not in splits.split_dataset(dataset, config).warnings


def test_a_given_split_may_be_made_anew(make_interactions, make_dataset, data_config):
    dataset = given_sample(make_interactions, make_dataset)
    split = splits.split_dataset(dataset, data_config(split="ratio"))
    assert sum(map(len, parts(split))) == 8
    assert "3 pairs in two parts of the source were merged." in split.warnings
    assert split.candidates is None


def test_source_with_candidates_validates_one_item_each(data_config):
    rows = [(u, i, 0) for u in range(2) for i in range(15)]
    whole = dataset_of(rows).train
    is_test = whole.items == 3
    ids = np.arange(15).astype(str).astype(object)
    dataset = Dataset(
        "sample",
        ids[:2],
        ids,
        whole.take(~is_test),
        whole.take(is_test),
        candidates=np.zeros((2, 3), np.int32),
    )
    split = splits.split_dataset(dataset, data_config())
    assert np.bincount(split.validation.users).tolist() == [1, 1]
    assert split.candidates is dataset.candidates


def test_given_needs_a_test_part(data_config):
    with pytest.raises(UserError, match="needs a source with a test part"):
        splits.split_dataset(
            dataset_of([(0, 0, 0), (1, 1, 0), (1, 2, 0)]), data_config(split="given")
        )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"split": "random"}, r"auto, given, ratio.*split='random'"),
        ({"test_fraction": 1.0}, r"must be in \(0, 1\).*test_fraction=1.0"),
        ({"validation": "last"}, "random, latest. Received: validation=last"),
        ({"validation_fraction": -0.1}, r"\[0, 1\).*validation_fraction=-0.1"),
        ({"seed": -1}, r"at least 0.*seed=-1"),
        ({"k_core": -1}, r"`data.k_core` must be at least 0.*k_core=-1"),
        (
            {"split": "strong_generalization", "validation": "latest"},
            "`data.validation` must be random for `data.split=strong_generalization`",
        ),
    ],
)
def test_wrong_keys(data_config, keys, message):
    with pytest.raises(UserError, match=message):
        splits.check(data_config(**keys))
