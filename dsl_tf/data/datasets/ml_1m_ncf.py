"""MovieLens-1M as NCF splits it (He et al., 2017): leave the last one out.

For `leave_one_out_sampled`: each user's held-out item comes with 99 fixed
negatives. NCF's ids: user = UserID - 1, item = rank of first appearance in
the ratings, both from 0.
"""

import pathlib

import numpy as np
import pandas as pd

from dsl_tf.data import adjacency, downloads, reading
from dsl_tf.data.datasets import _movielens, ml_1m
from dsl_tf.data.interactions import without
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Interactions

FOLDER = "ml-1m/ncf_leave_one_out"
URL = (
    "https://raw.githubusercontent.com/hexiangnan/neural_collaborative_filtering/"
    "master/Data"
)
TRAIN = "ml-1m.train.rating"
SHA256 = {
    "ml-1m.test.rating": (
        "231ae11eb060b643a8c58c063cd17ffc743b54f569afb073d1abb6cf126b88b5"
    ),
    "ml-1m.test.negative": (
        "127853228a76b7d21c0481e8ef8d00dd009cd5c88670dbdd9e9debfdb9f93de4"
    ),
}


def load(root: pathlib.Path | None) -> Dataset:
    """Loads folder `ml-1m/ncf_leave_one_out`: NCF's own files.

    Without its `ml-1m.train.rating` the training part is MovieLens-1M's
    ratings less the held-out ones, which is the same. What `root` lacks is
    downloaded.

    Raises:
      UserError: a broken file, or no network.
    """
    test_path, negative_path = (_path(root, name) for name in SHA256)
    test = _movielens.parse(reading.read_bytes(test_path), "\t", test_path)
    held_out = _movielens.interactions(test, test.user, test.item)
    train_path = root and reading.existing(root / FOLDER, TRAIN)
    if train_path:
        frame = _movielens.parse(reading.read_bytes(train_path), "\t", train_path)
        train = _movielens.interactions(frame, frame.user, frame.item)
        num_items = int(max(train.items.max(), held_out.items.max())) + 1
        item_ids = adjacency.read_ids(train_path.parent, "item_list.txt", num_items)
    else:
        everything, item_ids = _all_ratings(root)
        train = without(everything, held_out, len(item_ids))
        if len(train) + len(held_out) != len(everything):
            raise UserError(
                "Each held-out item must be among the ratings. Received: others in "
                f"{test_path}."
            )
    return Dataset(
        "ml-1m-ncf",
        _movielens.raw_ids(np.arange(len(held_out)) + 1),
        item_ids,
        train,
        held_out,
        candidates=_negatives(negative_path, held_out.items),
        split_label="NCF leave-one-out split",
    )


def _all_ratings(root: pathlib.Path | None) -> tuple[Interactions, np.ndarray]:
    """MovieLens-1M in NCF's ids, and the raw item ids."""
    ratings = _movielens.ratings(root, "ml-1m", ml_1m.RATING_FILES)
    items, item_ids = pd.factorize(ratings.item)
    everything = _movielens.interactions(ratings, ratings.user - 1, items)
    return everything, _movielens.raw_ids(np.asarray(item_ids))


def _path(root: pathlib.Path | None, name: str) -> pathlib.Path:
    path = root and reading.existing(root / FOLDER, name)
    return path or downloads.fetch(f"{URL}/{name}", f"ncf/{name}", SHA256[name])


def _negatives(path: pathlib.Path, held_out: np.ndarray) -> np.ndarray:
    """Reads lines of `(user,item)`, tab, 99 items.

    Args:
      path: the file; its lines are the users in order.
      held_out: int32 [num_users], the item that each line must name.

    Returns:
      int32 [num_users, 99].
    """
    content = reading.read_bytes(path).translate(bytes.maketrans(b"(,)", b"   "))
    numbers = adjacency.parse_lines(content, path).numbers
    width = 2 + 99
    whole = len(numbers) == width * len(held_out)
    rows = numbers.reshape(-1, width) if whole else np.zeros((0, width), int)
    if not np.array_equal(rows[:, 1], held_out):
        raise UserError(
            "Each line must hold (user,held-out item) and 99 negatives. Received: "
            f"another form in {path}."
        )
    return rows[:, 2:].astype(np.int32)
