import re

import pandas as pd
import pytest

from dsl_tf.data import files
from dsl_tf.errors import UserError

CSV = "user,item,rating,time\nb,10,5,1\na,9,1,2\nb,9,4,3\n"


def pairs(part):
    return list(zip(part.users.tolist(), part.items.tolist(), strict=True))


@pytest.mark.parametrize("name", ["likes.csv", "likes.csv.gz", "likes.tsv"])
def test_table_becomes_interactions(write, data_config, name):
    dataset = files.load(write(name, CSV), data_config())
    assert dataset.name == "likes"
    assert dataset.user_ids.tolist() == ["a", "b"]
    assert dataset.item_ids.tolist() == ["9", "10"]  # numbers by value
    assert pairs(dataset.train) == [(1, 1), (0, 0), (1, 0)]
    assert dataset.train.ratings is None  # nothing asks for them
    assert dataset.test is None


def test_ratings_and_times_are_read_where_needed(write, data_config):
    path = write("likes.csv", CSV)
    rated = files.load(path, data_config(min_rating=3.0))
    assert rated.train.ratings.tolist() == [5, 1, 4]
    timed = files.load(path, data_config(split="temporal"))
    assert timed.train.times.tolist() == [1e6, 2e6, 3e6]
    latest = files.load(path, data_config(validation="latest"))
    assert latest.train.times.tolist() == [1e6, 2e6, 3e6]


def test_a_time_column_that_was_named_must_be_there(write, data_config):
    """With leave_one_out it was passed over, and random items were left out."""
    path = write("likes.csv", CSV)
    config = data_config(split="leave_one_out", time_column="tiem")
    with pytest.raises(
        UserError, match=r"'tiem' \(`data\.time_column`\) must be in .*'time'"
    ):
        files.load(path, config)
    without = write("other.csv", "user,item\na,1\na,2\n")
    assert files.load(without, data_config(split="leave_one_out")).train.times is None
    with pytest.raises(UserError, match=r"'time' \(`data\.time_column`\) must be in"):
        files.load(without, data_config(validation="latest"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"user_column": ""}, "`data.user_column` must be the name of a column"),
        ({"item_column": ""}, "`data.item_column` must be the name of a column"),
        ({"user_column": "item"}, "`data.user_column`. Received: 'item' for both."),
        (
            {"time_column": "user", "split": "temporal"},
            "`data.time_column` must be another column than `data.user_column`.",
        ),
        (
            {"rating_column": "item", "min_rating": 2.0},
            "`data.rating_column` must be another column than `data.item_column`.",
        ),
        (
            {"rating_column": "time", "min_rating": 2.0, "validation": "latest"},
            "`data.time_column` must be another column than `data.rating_column`.",
        ),
    ],
)
def test_columns_have_names_of_their_own(write, data_config, keys, message):
    """Some ended in a traceback."""
    with pytest.raises(UserError, match=re.escape(message)):
        files.load(write("likes.csv", CSV), data_config(**keys))


def test_a_column_that_is_not_read_may_have_any_name(write, data_config):
    config = data_config(rating_column="item", time_column="")
    assert len(files.load(write("likes.csv", CSV), config).train) == 3


def test_what_is_untidy_in_any_file_is_told(tmp_path, write, data_config):
    write("train.csv", "user,item\nNA,1\nb,2\n")
    write("test.csv", 'user,item,title\nb,1,"x\ny"\n')
    assert files.load(tmp_path, data_config()).warnings == (
        "1 lines of test.csv are inside quoted values (is a quote unclosed?).",
        "1 rows of train.csv have 'NA' or the like as 'user' (taken as an id).",
    )


def test_column_names_come_from_the_config(write, data_config):
    config = data_config(user_column="who", item_column="what", separator="|")
    dataset = files.load(write("a.csv", "what|x|who\n1|_|2\n"), config)
    assert dataset.user_ids.tolist() == ["2"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv.gz", ".parquet"])
def test_folder_of_tables_shares_one_vocabulary(tmp_path, write, data_config, suffix):
    for part, rows in (("train", ["a", "c"]), ("test", ["b"]), ("validation", ["d"])):
        frame = pd.DataFrame({"user": rows, "item": "x"})
        if suffix == ".parquet":
            frame.to_parquet(tmp_path / f"{part}.parquet")
        else:
            write(part + suffix, frame.to_csv(index=False))
    dataset = files.load(tmp_path, data_config())
    assert dataset.name == tmp_path.name
    assert dataset.user_ids.tolist() == ["a", "b", "c", "d"]
    assert pairs(dataset.train) == [(0, 0), (2, 0)]
    assert pairs(dataset.test) == [(1, 0)]
    assert pairs(dataset.validation) == [(3, 0)]


def test_folder_of_lists(tmp_path, write, data_config):
    write("train.txt", "0 1\n1 0\n")
    write("test.txt.gz", "0 0\n")
    write("notes.md", "not data")
    dataset = files.load(tmp_path, data_config())
    assert pairs(dataset.test) == [(0, 0)]


def test_folder_with_one_table(tmp_path, write, data_config):
    write("anything.csv", CSV)
    write("readme.txt", "words")
    assert len(files.load(tmp_path, data_config()).train) == 3


def test_one_list_alone_is_everything(write, data_config):
    dataset = files.load(write("clicks.txt", "0 1\n1 0\n"), data_config())
    assert dataset.name == "clicks"
    assert dataset.test is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.csv", "b.csv"], "or one csv, tsv or parquet. Received: a.csv, b.csv in"),
        (["notes.md"], "Received: no such file in"),
        (["test.csv"], "train and test files, or train alone. Received: test.csv"),
        (["train.csv", "validation.csv"], "Received: train.csv, validation.csv"),
        (["train.csv", "train.tsv", "test.csv"], "one train file"),
        (["train.csv", "test.txt"], "both tables or both adjacency lists"),
    ],
)
def test_folders_that_are_not_clear(tmp_path, write, data_config, names, message):
    for name in names:
        write(name, CSV)
    with pytest.raises(UserError, match=re.escape(message)):
        files.load(tmp_path, data_config())


def test_missing_and_unknown_files(tmp_path, write, data_config):
    with pytest.raises(UserError, match=r"`data.path` must exist.*none\.csv"):
        files.load(tmp_path / "none.csv", data_config())
    with pytest.raises(UserError, match=r"must end in \.txt, \.csv, .*a\.xlsx"):
        files.load(write("a.xlsx", "x"), data_config())


def test_ids_of_more_digits_than_python_makes_a_number_of(write, data_config):
    """They ended in a traceback."""
    long = "1" * 5000
    dataset = files.load(write("a.csv", f"user,item\n{long},1\n7,2\n"), data_config())
    assert dataset.user_ids.tolist() == [long, "7"]


def test_numbers_of_equal_value_stay_two_ids(write, data_config):
    dataset = files.load(write("a.csv", "user,item\n7,1\n007,2\n12,3\n"), data_config())
    assert dataset.user_ids.tolist() == ["007", "7", "12"]
    assert pairs(dataset.train) == [(1, 0), (0, 1), (2, 2)]
