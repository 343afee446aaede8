import pytest

from dsl_tf.data import load_split
from dsl_tf.data.datasets import citeulike
from dsl_tf.errors import UserError

# Line number = user; the second has four different items only.
USERS = "5 9 2 4 0 7\n5 1 2 3 1 4\n6 9 0 8 4 1 2\n"


def check(dataset):
    assert dataset.name == "citeulike"
    assert dataset.user_ids.tolist() == ["0", "2"]
    assert dataset.item_ids.tolist() == ["0", "1", "2", "4", "7", "8", "9"]
    assert (len(dataset.train), len(dataset.test)) == (9, 2)
    assert dataset.warnings == ()


def test_users_with_five_items_are_kept(write, tmp_path):
    write("citeulike-t/users.dat.gz", USERS)
    check(citeulike.load(tmp_path))


def test_download(online):
    online[citeulike.URL] = USERS.encode()
    check(citeulike.load(None))


def test_without_network(offline):
    with pytest.raises(UserError):
        citeulike.load(None)
    assert offline == [(citeulike.URL, "citeulike-t/users.dat", citeulike.SHA256)]


@pytest.mark.realdata
def test_counts(data_root, data_config):
    split = load_split(data_config(name="citeulike", root=str(data_root)))
    assert (split.num_users, split.num_items) == (5_219, 25_181)
    assert len(split.train) + len(split.validation) == 102_269
    assert len(split.test) == 23_311
    assert "1,000 items occur only in test." in split.warnings
