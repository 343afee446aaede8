"""GroupLens's rating files: from a folder, or from the official zip."""

import io
import pathlib
import zipfile

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from dsl_tf.data import downloads, reading
from dsl_tf.data.interactions import unique_pairs
from dsl_tf.errors import UserError
from dsl_tf.types import Interactions

URL = "https://files.grouplens.org/datasets/movielens"
#: md5 as GroupLens publishes it beside each zip.
MD5 = {
    "ml-1m": "c4d9eecfca2ab87c1945afe126590906",
    "ml-100k": "0e33842e24a9c977be4e0107933c0723",
}
COLUMNS = ("user", "item", "rating", "time")


def ratings(
    root: pathlib.Path | None, name: str, files: dict[str, str]
) -> pd.DataFrame:
    """Ratings in their original order with the original ids.

    Args:
      root: the folder of data sets, or None.
      name: of the data set, its folder and its zip.
      files: file name to separator; the first that is there is read, and the
        first of all comes from the zip where none is there.

    Returns:
      Whole numbers `user`, `item`, `rating` and, if there, `time`.

    Raises:
      UserError: a broken file, or no network.
    """
    if path := find(root, name, files):
        separator = files[path.name.removesuffix(".gz")]
        return parse(reading.read_bytes(path), separator, path)
    first, separator = next(iter(files.items()))
    archive = downloads.fetch(f"{URL}/{name}.zip", f"{name}.zip", MD5[name])
    with zipfile.ZipFile(archive) as file:
        return parse(file.read(f"{name}/{first}"), separator, archive)


def find(
    root: pathlib.Path | None, name: str, files: dict[str, str]
) -> pathlib.Path | None:
    """The first of `files` that lies, plain or gzip, in `root/name`."""
    paths = (root and reading.existing(root / name, file) for file in files)
    return next((path for path in paths if path), None)


def parse(content: bytes, separator: str, source: pathlib.Path) -> pd.DataFrame:
    """Reads lines of user, item, rating and perhaps time, with or without header.

    Raises:
      UserError: a line does not hold whole numbers.
    """
    try:
        frame = pd.read_csv(
            # pandas' fast parser knows separators of one letter only.
            io.BytesIO(content.replace(b"::", b"\t")),
            sep=separator.replace("::", "\t"),
            header=0 if content[:4] == b"user" else None,
            dtype=np.int64,
        )
        return frame.set_axis(COLUMNS[: frame.shape[1]], axis=1)
    except ValueError as error:
        raise UserError(
            "Each line must hold user, item, rating and perhaps a time, all whole "
            f"numbers ({' '.join(str(error).split())}). Received: {source}."
        ) from error


def encode(
    *frames: pd.DataFrame,
) -> tuple[list[Interactions], np.ndarray, np.ndarray]:
    """Interactions of each frame over one vocabulary, sorted by user, then item.

    Row numbers are ranks of the original ids.

    Returns:
      The interactions, raw user ids, raw item ids.
    """
    together = pd.concat(frames)
    user_ids = np.sort(together.user.unique())
    item_ids = np.sort(together.item.unique())
    parts = [
        interactions(
            frame,
            np.searchsorted(user_ids, frame.user),
            np.searchsorted(item_ids, frame.item),
        )
        for frame in frames
    ]
    return parts, raw_ids(user_ids), raw_ids(item_ids)


def interactions(
    frame: pd.DataFrame, users: ArrayLike, items: ArrayLike
) -> Interactions:
    """Interactions of a frame's rows under the row numbers given, sorted."""
    unsorted = Interactions(
        np.asarray(users, np.int32),
        np.asarray(items, np.int32),
        frame.rating.to_numpy(np.float32),
        frame.time.to_numpy(np.int64) if "time" in frame else None,
    )
    return unique_pairs(unsorted, int(unsorted.items.max()) + 1)


def raw_ids(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers as str objects."""
    return numbers.astype(str).astype(object)
