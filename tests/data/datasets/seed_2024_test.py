"""The splits made for this package, rebuilt from the raw files."""

import hashlib

import numpy as np
import pytest

from dsl_tf.data import adjacency
from dsl_tf.data.datasets import _seed_2024, citeulike, foursquare, ml_1m
from dsl_tf.data.loading import filtered

#: sha256 of the content of train.txt and test.txt.
PUBLISHED = {
    "ml-1m": (
        "b91c85bdb8b19b908eb50d43821f7591512d331f2dcf37f40da8e1413321a43d",
        "d55f49c492029888d94dd3b0860b6b47616da0c6346b8dfe5598346ec9aa6d51",
    ),
    "citeulike-t": (
        "8861ca8cfb4044f61c6bd949c38c8ed5e80ac5754e49a55d1abc54496ff3c6f7",
        "dc3d9dbf4b7466082acc3adff79899f74c3a1d70544879107a96c7072a23a9e3",
    ),
    "foursquare": (
        "9b55bec7fc7a25d6535f88562975023581e64bf68b8a7e7f43a435a6bfaa7d96",
        "9921634ddc38cc15de41c632d283d5e1cf85e81e04e52aab6435c4de3cba9702",
    ),
}


def test_the_rule_by_hand(make_interactions):
    rows = [(0, i) for i in range(11)] + [(2, 5)] + [(3, i) for i in (1, 4, 6)]
    train, test = _seed_2024.split(make_interactions(*rows))
    rng = np.random.default_rng(2024)
    expected = [(0, i) for i in sorted(rng.permutation(11)[:2].tolist())]
    expected += [(2, rng.permutation([5])[0])]  # max(1, ...): a lonely item goes
    expected += [(3, rng.permutation([1, 4, 6])[0])]
    assert list(zip(test.users, test.items, strict=True)) == expected
    assert len(train) + len(test) == len(rows)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("load", "folder", "raw"),
    [
        (ml_1m.load, "ml-1m", "ratings.csv.gz"),
        (citeulike.load, "citeulike-t", "users.dat.gz"),
        (foursquare.load, "foursquare", "users.dat.gz"),
    ],
)
def test_raw_files_give_the_published_split(data_root, tmp_path, load, folder, raw):
    # A root with nothing but the raw file.
    (tmp_path / folder).mkdir()
    (tmp_path / folder / raw).symlink_to(data_root / folder / raw)
    rebuilt = load(tmp_path)
    sums = []
    for part in (rebuilt.train, rebuilt.test):
        path = tmp_path / "list.txt"
        adjacency.write_adjacency(part, path)
        sums.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert tuple(sums) == PUBLISHED[folder]

    published = filtered(load(data_root), 0.0, 0)
    assert rebuilt.split_label == published.split_label == _seed_2024.LABEL
    assert rebuilt.user_ids.tolist() == published.user_ids.tolist()
    assert rebuilt.item_ids.tolist() == published.item_ids.tolist()
