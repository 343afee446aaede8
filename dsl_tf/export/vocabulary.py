"""Raw ids, one a line: line number = row number = the ids of the signatures."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dsl_tf.errors import UserError
from dsl_tf.files import replacing
from dsl_tf.types import Split


def write_vocabulary(split: Split, folder: Path) -> list[Path]:
    """Write `folder/vocabulary/users.txt` and `items.txt`, UTF-8.

    Raises:
      UserError: a raw id holds a line break and cannot be a line.
    """
    ids = {"users": split.user_ids, "items": split.item_ids}
    paths = []
    for name, raw_ids in ids.items():
        path = folder / "vocabulary" / f"{name}.txt"
        write_ids(raw_ids, path)
        paths.append(path)
    return paths


def write_ids(raw_ids: Iterable[str], path: Path) -> None:
    """Write raw ids in the order of their rows.

    Raises:
      UserError: a raw id holds a line break.
    """
    lines = [str(raw_id) for raw_id in raw_ids]
    for line in lines:
        if "\n" in line or "\r" in line:
            raise UserError(
                "A raw id must not contain a line break, since the vocabulary "
                f"has one id a line. Received: {line!r}."
            )
    text = "".join(f"{line}\n" for line in lines)
    with replacing(path) as partial:
        partial.write_bytes(text.encode())


def read_ids(path: Path) -> np.ndarray:
    """Raw ids as `write_ids` wrote them: str objects [n], position = row."""
    # Not `splitlines`, which also breaks at characters an id may hold.
    return np.array(path.read_bytes().decode().split("\n")[:-1], dtype=object)
