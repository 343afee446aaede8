import numpy as np
import pytest

from dsl_tf.data import load_split
from dsl_tf.data.datasets import ml_1m_ncf
from dsl_tf.errors import UserError

FOLDER = "ml-1m/ncf_leave_one_out"
# In NCF's ids: item 0 is movie 30, 1 is 4, 2 is 7.
RATINGS = "1::30::5::100\n1::4::3::101\n2::30::1::102\n2::7::4::103\n"
TEST = "0\t1\t3\t101\n1\t2\t4\t103\n"
NEGATIVES = ("(0,1)\t" + "\t".join(["2"] * 99), "(1,2)\t" + "\t".join(["1"] * 99))


@pytest.fixture
def files(write):
    write(f"{FOLDER}/ml-1m.test.rating", TEST)
    write(f"{FOLDER}/ml-1m.test.negative.gz", "\n".join(NEGATIVES) + "\n")


def pairs(part):
    return list(zip(part.users.tolist(), part.items.tolist(), strict=True))


def check(dataset):
    assert pairs(dataset.train) == [(0, 0), (1, 0)]
    assert pairs(dataset.test) == [(0, 1), (1, 2)]
    assert dataset.test.times.tolist() == [101, 103]
    assert dataset.user_ids.tolist() == ["1", "2"]
    assert dataset.item_ids.tolist() == ["30", "4", "7"]
    assert dataset.candidates.dtype == np.int32
    assert dataset.candidates.tolist() == [[2] * 99, [1] * 99]


def test_own_training_file(files, write, tmp_path):
    write(f"{FOLDER}/ml-1m.train.rating.gz", "1\t0\t1\n0\t0\t5\n")
    write(f"{FOLDER}/item_list.txt", "org_id remap_id\n30 0\n4 1\n7 2\n")
    check(ml_1m_ncf.load(tmp_path))


def test_training_part_from_the_ratings(files, write, tmp_path):
    write("ml-1m/ratings.dat", RATINGS)
    check(ml_1m_ncf.load(tmp_path))
    write("ml-1m/ratings.dat", RATINGS.replace("2::7", "2::8"))
    check_again = ml_1m_ncf.load(tmp_path)
    assert check_again.item_ids.tolist() == ["30", "4", "8"]
    write("ml-1m/ratings.dat", RATINGS.replace("2::7::4::103\n", ""))
    with pytest.raises(UserError, match="must be among the ratings"):
        ml_1m_ncf.load(tmp_path)


@pytest.mark.parametrize(
    "lines",
    [NEGATIVES[:1], NEGATIVES[::-1], (NEGATIVES[0], NEGATIVES[1] + "\t3")],
    ids=["too-few", "other-order", "too-wide"],
)
def test_wrong_negatives(files, write, tmp_path, lines):
    write("ml-1m/ratings.dat", RATINGS)
    write(f"{FOLDER}/ml-1m.test.negative", "\n".join(lines))
    with pytest.raises(UserError, match=r"99 negatives.*ml-1m\.test\.negative\.$"):
        ml_1m_ncf.load(tmp_path)


def test_without_network(offline, tmp_path):
    with pytest.raises(UserError):
        ml_1m_ncf.load(tmp_path)
    assert offline[0][0].endswith(
        "neural_collaborative_filtering/master/Data/ml-1m.test.rating"
    )


@pytest.mark.realdata
def test_counts(data_root, data_config):
    split = load_split(data_config(name="ml-1m-ncf", root=str(data_root)))
    assert (split.num_users, split.num_items) == (6_040, 3_706)
    assert len(split.train) + len(split.validation) == 994_169
    assert len(split.validation) == len(split.test) == 6_040
    assert split.candidates.shape == (6_040, 99)
    own = split.candidates == split.test.items[:, None]
    assert own.sum() == 156  # in NCF's file: the held-out item as a negative


@pytest.mark.realdata
def test_ratings_less_the_held_out_are_the_training_file(data_root, tmp_path):
    (tmp_path / FOLDER).mkdir(parents=True)
    for name in ("ml-1m.test.rating", "ml-1m.test.negative.gz"):
        (tmp_path / FOLDER / name).symlink_to(data_root / FOLDER / name)
    ratings = "ml-1m/ratings.csv.gz"
    (tmp_path / ratings).symlink_to(data_root / ratings)
    rebuilt, read = ml_1m_ncf.load(tmp_path), ml_1m_ncf.load(data_root)
    for column in ("users", "items", "ratings"):
        ours, theirs = getattr(rebuilt.train, column), getattr(read.train, column)
        assert np.array_equal(ours, theirs)
    assert rebuilt.item_ids.tolist() == read.item_ids.tolist()
