import io
import zipfile

import numpy as np
import pytest

from dsl_tf.data import load_split
from dsl_tf.data.datasets import ml_1m
from dsl_tf.errors import UserError

RATINGS = "1::30::5::100\n1::4::3::101\n2::30::1::102\n2::7::4::103\n5::4::2::104\n"
URL = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"


def rows(part):
    columns = (part.users, part.items, part.ratings)
    return set(zip(*(column.tolist() for column in columns), strict=True))


EXPECTED = {(0, 2, 5), (0, 0, 3), (1, 2, 1), (1, 1, 4), (2, 0, 2)}


@pytest.mark.parametrize("name", ["ml-1m/ratings.dat", "ml-1m/ratings.csv.gz"])
def test_raw_ratings_are_split(write, tmp_path, name):
    text = RATINGS
    if "csv" in name:
        lines = (",".join(line.split("::")[:3]) for line in RATINGS.split())
        text = "user,item,rating\n" + "\n".join(lines)
    write(name, text)
    dataset = ml_1m.load(tmp_path)
    assert dataset.user_ids.tolist() == ["1", "2", "5"]
    assert dataset.item_ids.tolist() == ["4", "7", "30"]
    assert rows(dataset.train) | rows(dataset.test) == EXPECTED
    assert len(dataset.test) == 3
    assert (dataset.train.times is None) == ("csv" in name)


def test_lists_win_and_take_the_ratings_beside_them(write, tmp_path):
    write("ml-1m/train.txt", "0 0\n1 1\n")
    write("ml-1m/test.txt", "0 2\n1 2\n2 0\n")
    assert ml_1m.load(tmp_path).train.ratings is None
    write("ml-1m/ratings.dat", RATINGS)
    dataset = ml_1m.load(tmp_path)
    assert rows(dataset.train) == {(0, 0, 3), (1, 1, 4)}
    assert rows(dataset.test) == {(0, 2, 5), (1, 2, 1), (2, 0, 2)}
    write("ml-1m/test.txt", "0 1\n")
    with pytest.raises(UserError, match="must hold the same pairs"):
        ml_1m.load(tmp_path)


def test_downloads_grouplens_zip(online):
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("ml-1m/ratings.dat", RATINGS)
    online[URL] = zipped.getvalue()
    dataset = ml_1m.load(None)
    assert rows(dataset.train) | rows(dataset.test) == EXPECTED


def test_without_network(offline, tmp_path):
    with pytest.raises(UserError, match="must be reachable"):
        ml_1m.load(tmp_path)
    assert offline == [(URL, "ml-1m.zip", "c4d9eecfca2ab87c1945afe126590906")]


@pytest.mark.parametrize("line", ["1::x::5::100", "1::2", "1::2::3::4::5"])
def test_wrong_ratings_are_one_line(write, tmp_path, line):
    write("ml-1m/ratings.dat", f"{RATINGS}{line}\n")
    with pytest.raises(UserError, match=r"all whole numbers.*ratings\.dat\.$") as error:
        ml_1m.load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.realdata
def test_counts(data_root, data_config):
    config = data_config(name="ml-1m", root=str(data_root))
    split = load_split(config)
    assert (split.num_users, split.num_items) == (6_040, 3_706)
    assert len(split.train) + len(split.validation) == 802_553
    assert len(split.test) == 197_656
    assert "23 items occur only in test." in split.warnings
    assert split.label == "dsl_tf split, seed 2024"
    # floor(0.1 n + 0.5) of each user; all have n >= 3.
    n = split.activity() + np.bincount(split.validation.users)
    assert np.array_equal(
        np.bincount(split.validation.users), np.floor(0.1 * n + 0.5).astype(int)
    )


@pytest.mark.realdata
def test_rating_threshold(data_root, data_config):
    config = data_config(name="ml-1m", root=str(data_root), min_rating=4.0)
    split = load_split(config)
    # 575,281 of the ratings are 4 or 5 (226,310 fives, 348,971 fours).
    sizes = (len(split.train), len(split.validation), len(split.test))
    assert sum(sizes) == 575_281
