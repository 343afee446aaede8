import random

import numpy as np
import pytest

from dsl_tf import plugins
from dsl_tf.data import load_split, loading
from dsl_tf.errors import UserError


def table(rows, header="user,item,rating,time"):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def test_own_file_from_end_to_end(write, data_config):
    # u1 is below the rating threshold with one item, then has one only; i9 is
    # rated by u3 alone; ("u0", "i0") occurs twice.
    rows = [(f"u{u}", f"i{i}", 5, u + i) for u in range(4) for i in range(5)]
    rows += [("u0", "i0", 4, 99), ("u3", "i9", 5, 0), ("u9", "i0", 5, 0)]
    rows += [("u8", "i1", 1, 0)]
    random.Random(0).shuffle(rows)
    path = write("likes.csv.gz", table(rows))
    split = load_split(data_config(path=str(path), min_rating=3.0, k_core=2))
    assert split.name == "likes"
    assert split.label == "dsl_tf ratio 0.2 split, seed 0, ratings >= 3, 2-core"
    assert split.user_ids.tolist() == ["u0", "u1", "u2", "u3"]
    assert split.item_ids.tolist() == ["i0", "i1", "i2", "i3", "i4"]
    assert np.bincount(split.test.users).tolist() == [1, 1, 1, 1]
    assert np.bincount(split.validation.users).tolist() == [1, 1, 1, 1]
    assert len(split.train) == 12
    assert split.warnings[0] == "1 duplicate interactions were merged."


def test_the_latest_rating_of_a_pair_says_whether_it_is_liked(
    make_interactions, make_dataset
):
    """A high rating that was taken back counted: low ones were dropped first."""
    rows = [(0, 0, 5, 1), (0, 0, 1, 2), (0, 1, 1, 1), (0, 1, 5, 2), (1, 2, 4, 0)]
    dataset = loading.filtered(make_dataset(make_interactions(*rows)), 3.0, 0)
    assert dataset.item_ids.tolist() == ["1", "2"]
    assert dataset.train.ratings.tolist() == [5, 4]


def test_ratings_and_their_threshold_may_be_negative(write, data_config):
    rows = [(u, i, -i, 0) for u in range(3) for i in range(4)]
    path = write("likes.csv", table(rows))
    split = load_split(data_config(path=str(path), min_rating=-2.0))
    assert split.item_ids.tolist() == ["0", "1", "2"]
    assert split.label.endswith("ratings >= -2")


def test_row_order_does_not_matter(write, data_config):
    rows = [(u, i, 5, 0) for u in range(20) for i in range(u % 7 + 2)]
    prints = set()
    for seed in range(2):
        random.Random(seed).shuffle(rows)
        path = write("likes.csv", table(rows))
        prints.add(load_split(data_config(path=str(path))).fingerprint())
    assert len(prints) == 1


def test_path_wins_over_name(write, data_config):
    path = write("likes.csv", table([(1, 1, 0, 0), (1, 2, 0, 0), (2, 1, 0, 0)]))
    assert load_split(data_config(path=str(path), name="no such")).name == "likes"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, 1, 0, 0), (1, 2, 0, 0)], r"at least two users. Received: 1 in 'likes'"),
        ([(1, 1, 0, 0), (2, 1, 0, 0)], r"at least two items. Received: 1 in 'likes'"),
        ([(1, 1, 0, 0), (2, 2, 0, 0)], r"training and test.*2 and 0"),
    ],
)
def test_too_small_to_split(write, data_config, rows, message):
    with pytest.raises(UserError, match=message):
        load_split(data_config(path=str(write("likes.csv", table(rows)))))


def test_no_filter_keeps_gaps_and_a_filter_closes_them(write, data_config, tmp_path):
    write("train.txt", "0 0 2\n2 0 2\n")
    write("test.txt", "0 4\n2 4\n")
    split = load_split(data_config(path=str(tmp_path)))
    assert (split.num_users, split.num_items) == (3, 5)
    split = load_split(data_config(path=str(tmp_path), k_core=2))
    assert split.user_ids.tolist() == ["0", "2"]
    assert split.item_ids.tolist() == ["0", "2", "4"]


def test_unknown_name_lists_those_that_exist(data_config):
    names = "amazon-book, citeulike, demo, foursquare, gowalla, ml-100k, ml-1m, "
    with pytest.raises(UserError, match=rf"{names}ml-1m-ncf, yelp2018.*'netflix'"):
        load_split(data_config(name="netflix"))


def test_every_data_set_has_load():
    for name in plugins.names("dsl_tf.data.datasets"):
        assert callable(plugins.find("dsl_tf.data.datasets", name, "data set").load)


def test_root_is_the_key_else_the_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("DSL_TF_DATA", raising=False)
    assert loading.data_root("") is None
    monkeypatch.setenv("DSL_TF_DATA", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"variable DSL_TF_DATA must be a folder.*none"):
        loading.data_root("")
    assert loading.data_root(str(tmp_path)) == tmp_path
    with pytest.raises(UserError, match=r"`data.root` must be a folder"):
        loading.data_root(str(tmp_path / "other"))
