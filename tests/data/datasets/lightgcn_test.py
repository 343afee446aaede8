"""Gowalla, Yelp2018 and Amazon-Book: the files of LightGCN's authors."""

import pytest

from dsl_tf import plugins
from dsl_tf.data import load_split
from dsl_tf.errors import UserError

URL = "https://raw.githubusercontent.com/kuandeng/LightGCN/master/Data"
NAMES = ("gowalla", "yelp2018", "amazon-book")


def load(name, root):
    return plugins.find("dsl_tf.data.datasets", name, "data set").load(root)


@pytest.mark.parametrize("name", NAMES)
def test_folder_is_read(write, tmp_path, name):
    write(f"{name}/train.txt.gz", "0 0 1\n1 1\n")
    write(f"{name}/test.txt", "0 2\n1 0\n")
    write(f"{name}/user_list.txt", "org_id remap_id\nann 0\nbob 1\n")
    dataset = load(name, tmp_path)
    assert dataset.name == name
    assert dataset.user_ids.tolist() == ["ann", "bob"]
    assert dataset.train.items.tolist() == [0, 1, 1]
    assert dataset.test.items.tolist() == [2, 0]
    assert dataset.split_label == "LightGCN split"


@pytest.mark.parametrize("name", NAMES)
def test_download(online, name):
    online[f"{URL}/{name}/train.txt"] = b"0 0 1\n1 1\n"
    online[f"{URL}/{name}/test.txt"] = b"0 2\n1 0\n"
    assert load(name, None).test.items.tolist() == [2, 0]


def test_kgats_amazon_book_is_another_data_set(write, tmp_path, offline):
    write("amazon-book-kgat/train.txt", "0 0 1\n1 1\n")
    write("amazon-book-kgat/test.txt", "0 2\n1 0\n")
    with pytest.raises(UserError):
        load("amazon-book", tmp_path)
    url = f"{URL}/amazon-book/train.txt"
    checksum = "c916ecac04ca72300a016228258b41ed"
    assert offline == [(url, "amazon-book/train.txt", checksum)]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "users", "items", "train", "test"),
    [
        ("gowalla", 29_858, 40_981, 810_128, 217_242),
        ("yelp2018", 31_668, 38_048, 1_237_259, 324_147),
    ],
)
def test_counts(data_root, data_config, name, users, items, train, test):
    split = load_split(data_config(name=name, root=str(data_root)))
    assert (split.num_users, split.num_items) == (users, items)
    assert len(split.train) + len(split.validation) == train
    assert len(split.test) == test
    assert split.warnings == ()
