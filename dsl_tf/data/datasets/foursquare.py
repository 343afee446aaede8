"""Foursquare check-ins (D. Yang), users with 19 places or more."""

import pathlib

from dsl_tf.data import reading
from dsl_tf.data.datasets import _seed_2024
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset

#: Gives the 15,443 users and 28,593 items of DSL's tables; its text says 20.
MIN_ITEMS = 19


def load(root: pathlib.Path | None) -> Dataset:
    """Loads folder `foursquare`: `train.txt` and `test.txt`, or `users.dat`.

    From `users.dat` the same split is made again. There is no download: the
    official page has raw check-ins, not these lists.

    Raises:
      UserError: a broken file, or neither of them is there.
    """
    dataset = _seed_2024.published(root, "foursquare", "foursquare")
    if dataset is not None:
        return dataset
    path = root and reading.existing(root / "foursquare", "users.dat")
    if not path:
        place = (root or pathlib.Path("DIR")) / "foursquare"
        raise UserError(
            "Foursquare has no official download: put users.dat (lines of `count "
            f"item item ...`) or train.txt and test.txt into {place}"
            + ("." if root else " and give --config.data.root=DIR or DSL_TF_DATA=DIR.")
        )
    return _seed_2024.rebuilt_from_lists(path, MIN_ITEMS, "foursquare")
