"""CiteULike-t (Wang, Chen and Li, IJCAI 2013), users with 5 items or more."""

import pathlib

from dsl_tf.data import downloads, reading
from dsl_tf.data.datasets import _seed_2024
from dsl_tf.types import Dataset

URL = (
    "https://raw.githubusercontent.com/js05212/citeulike-t/"
    "4f103c6ea0fe407b23be230837b65517e613c34a/users.dat"
)
SHA256 = "02d5d429b2c0362e0ed79f6ef204666b4092563d21493abf4dfb521e8a7078bf"
#: DSL sec. 4.1 keeps users with at least this many items.
MIN_ITEMS = 5


def load(root: pathlib.Path | None) -> Dataset:
    """Loads folder `citeulike-t`: `train.txt` and `test.txt`, or `users.dat`.

    From `users.dat` (downloaded where there is nothing) the same split is
    made again.

    Raises:
      UserError: a broken file, or no network.
    """
    dataset = _seed_2024.published(root, "citeulike-t", "citeulike")
    if dataset is not None:
        return dataset
    path = root and reading.existing(root / "citeulike-t", "users.dat")
    path = path or downloads.fetch(URL, "citeulike-t/users.dat", SHA256)
    return _seed_2024.rebuilt_from_lists(path, MIN_ITEMS, "citeulike")
