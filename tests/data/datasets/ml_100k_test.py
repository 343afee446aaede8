import pytest

from dsl_tf.data import load_split
from dsl_tf.data.datasets import ml_100k
from dsl_tf.errors import UserError


def test_original_split(write, tmp_path):
    write("ml-100k/u1.base.gz", "1\t10\t5\t8\n1\t2\t3\t9\n3\t2\t1\t7\n")
    write("ml-100k/u1.test", "3\t11\t4\t6\n")
    dataset = ml_100k.load(tmp_path)
    assert dataset.user_ids.tolist() == ["1", "3"]
    assert dataset.item_ids.tolist() == ["2", "10", "11"]
    assert dataset.train.users.tolist() == [0, 0, 1]
    assert dataset.train.items.tolist() == [0, 1, 0]
    assert dataset.train.ratings.tolist() == [3, 5, 1]
    assert dataset.train.times.tolist() == [9, 8, 7]
    assert dataset.test.items.tolist() == [2]


def test_without_network(offline, tmp_path):
    with pytest.raises(UserError):
        ml_100k.load(tmp_path)
    url = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
    assert offline == [(url, "ml-100k.zip", "0e33842e24a9c977be4e0107933c0723")]


@pytest.mark.realdata
def test_counts(data_root, data_config):
    split = load_split(data_config(name="ml-100k", root=str(data_root)))
    assert (split.num_users, split.num_items) == (943, 1_682)
    assert len(split.train) + len(split.validation) == 80_000
    assert len(split.test) == 20_000


@pytest.mark.realdata
def test_times_allow_other_splits(data_root, data_config):
    config = data_config(name="ml-100k", root=str(data_root), split="temporal")
    split = load_split(config)
    assert len(split.test) == 20_000
    assert split.train.times.max() <= split.test.times.min()
