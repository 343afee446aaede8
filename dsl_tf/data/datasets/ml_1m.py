"""MovieLens-1M (Harper and Konstan, 2015); every rating is a positive."""

import dataclasses
import pathlib

from dsl_tf.data.datasets import _movielens, _seed_2024
from dsl_tf.data.interactions import positions
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Interactions

RATING_FILES = {"ratings.dat": "::", "ratings.csv": ","}


def load(root: pathlib.Path | None) -> Dataset:
    """Loads folder `ml-1m`: `train.txt` and `test.txt`, or the raw ratings.

    From `ratings.dat` or `ratings.csv` (GroupLens's zip is downloaded where
    there is nothing) the same split is made again.

    Raises:
      UserError: a broken file, or no network.
    """
    dataset = _seed_2024.published(root, "ml-1m", "ml-1m")
    if dataset is None:
        ratings = _movielens.ratings(root, "ml-1m", RATING_FILES)
        (everything,), user_ids, item_ids = _movielens.encode(ratings)
        return _seed_2024.rebuilt(everything, user_ids, item_ids, "ml-1m")
    if _movielens.find(root, "ml-1m", RATING_FILES):
        return _with_ratings(dataset, root)
    return dataset


def _with_ratings(dataset: Dataset, root: pathlib.Path | None) -> Dataset:
    """Adds what the lists lack: the ratings, and the times if there are."""
    ratings = _movielens.ratings(root, "ml-1m", RATING_FILES)
    (everything,), _, item_ids = _movielens.encode(ratings)

    def rated(part: Interactions) -> Interactions:
        rows = positions(part, everything, len(item_ids))
        if (rows < 0).any():
            raise UserError(
                "train.txt, test.txt and the ratings of ml-1m must hold the same "
                f"pairs. Received: others in {root}/ml-1m."
            )
        return everything.take(rows)

    assert dataset.test is not None
    return dataclasses.replace(
        dataset, train=rated(dataset.train), test=rated(dataset.test)
    )
