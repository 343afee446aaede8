"""MovieLens-100K, the original split `u1.base` / `u1.test`."""

import pathlib

from dsl_tf.data.datasets import _movielens
from dsl_tf.types import Dataset


def load(root: pathlib.Path | None) -> Dataset:
    """Loads folder `ml-100k`, or GroupLens's zip.

    Every rating is a positive; ratings and times are kept.

    Raises:
      UserError: a broken file, or no network.
    """
    base, test = (
        _movielens.ratings(root, "ml-100k", {name: "\t"})
        for name in ("u1.base", "u1.test")
    )
    (train, held_out), user_ids, item_ids = _movielens.encode(base, test)
    return Dataset(
        "ml-100k", user_ids, item_ids, train, held_out, split_label="original u1 split"
    )
