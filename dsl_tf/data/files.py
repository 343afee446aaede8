"""The user's own file or folder of interactions."""

import pathlib

import numpy as np
import pyarrow as pa
from ml_collections import ConfigDict

from dsl_tf.data import adjacency, reading, tables
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Interactions

PARTS = ("train", "validation", "test")
#: What `data.time_column` is by default.
_TIME = "time"
#: Python makes a number of at least so many digits.
_MAX_DIGITS = 600
#: `.txt` is an adjacency list, the others are tables.
SUFFIXES = (".txt", *tables.SUFFIXES)


def load(path: pathlib.Path, config: ConfigDict) -> Dataset:
    """Loads a file, or a folder by its file names.

    A folder holds `train`, `test` and perhaps `validation`, all adjacency
    lists (`.txt`) or all tables (`.csv`, `.tsv`, `.parquet`), or else one
    table of any name. All but parquet may be gzipped.

    Args:
      path: the file or folder.
      config: the `data` node; used are the columns' names, `separator`, and
        `min_rating` and `split`, which say whether ratings and times are
        needed.

    Raises:
      UserError: no such file, a form not known, or a fault in it.
    """
    paths = _parts(path) if path.is_dir() else {"train": path}
    for file in paths.values():
        if not file.is_file():
            raise UserError(f"`data.path` must exist. Received: {file}.")
        if kind(file) not in SUFFIXES:
            raise UserError(
                f"A data file must end in {', '.join(SUFFIXES)} (or that and .gz). "
                f"Received: {file}."
            )
    name = path.resolve().name.removesuffix(".gz")
    if not path.is_dir():
        name = name.removesuffix(kind(path))
    is_list = [kind(file) == ".txt" for file in paths.values()]
    if not any(is_list):
        return _from_tables(paths, name, config)
    if not all(is_list):
        raise UserError(
            "Training and test must be both tables or both adjacency lists. "
            f"Received: {', '.join(map(str, paths.values()))}."
        )
    parts = {part: adjacency.read_adjacency(file) for part, file in paths.items()}
    return adjacency.with_ids(parts, paths["train"].parent, name, "given")


def kind(path: pathlib.Path) -> str:
    """The suffix of a file's name, not counting `.gz`."""
    return pathlib.Path(path.name.removesuffix(".gz")).suffix.lower()


def _parts(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    with reading.one_line_errors(folder):
        names = sorted(folder.iterdir())
    known = [file for file in names if file.is_file() and kind(file) in SUFFIXES]
    parts: dict[str, pathlib.Path] = {}
    for file in known:
        part = file.name.removesuffix(".gz").removesuffix(kind(file))
        if part not in PARTS:
            continue
        if part in parts:
            raise UserError(
                f"A folder must hold one {part} file. Received: {parts[part]} and "
                f"{file}."
            )
        parts[part] = file
    if not parts:
        whole = [file for file in known if kind(file) != ".txt"]
        if len(whole) == 1:
            return {"train": whole[0]}
        listed = ", ".join(file.name for file in whole[:5]) or "no such file"
        raise UserError(
            "A folder must hold train and test files, or one csv, tsv or parquet. "
            f"Received: {listed} in {folder}."
        )
    if "train" not in parts or set(parts) == {"train", "validation"}:
        raise UserError(
            "A folder must hold train and test files, or train alone. Received: "
            f"{', '.join(file.name for file in parts.values())} in {folder}."
        )
    return parts


def _from_tables(
    paths: dict[str, pathlib.Path], name: str, config: ConfigDict
) -> Dataset:
    by_time = config.split in ("temporal", "leave_one_out")
    columns = tables.Columns(
        config.user_column,
        config.item_column,
        config.rating_column if config.min_rating else "",
        config.time_column if by_time or config.validation == "latest" else "",
    )
    _check_names(columns)
    # Without times, `leave_one_out` leaves a random item out; who named the column
    # does not want that.
    optional = ""
    if config.split == "leave_one_out" and config.validation != "latest":
        optional = columns.time if columns.time == _TIME else ""
    read = {
        part: tables.read(file, columns, config.separator, optional)
        for part, file in paths.items()
    }
    users, user_ids = _encode([table.users for table in read.values()])
    items, item_ids = _encode([table.items for table in read.values()])
    ends = np.cumsum([len(table.users) for table in read.values()])[:-1]
    rows = zip(np.split(users, ends), np.split(items, ends), strict=True)
    parts = {
        part: Interactions(*pair, table.ratings, table.times)
        for (part, table), pair in zip(read.items(), rows, strict=True)
    }
    return Dataset(
        name,
        user_ids,
        item_ids,
        parts["train"],
        parts.get("test"),
        parts.get("validation"),
        warnings=tuple(line for table in read.values() for line in table.warnings),
    )


def _check_names(columns: tables.Columns) -> None:
    """Refuses a column without a name, and one that is to be two things."""
    for kind in ("user", "item"):
        if not getattr(columns, kind):
            raise UserError(
                f"`data.{kind}_column` must be the name of a column. Received: ''."
            )
    named: dict[str, str] = {}
    for kind, name in columns._asdict().items():
        if name and name in named:
            raise UserError(
                f"`data.{kind}_column` must be another column than "
                f"`data.{named[name]}_column`. Received: {name!r} for both."
            )
        named[name] = kind


def _encode(columns: list[pa.ChunkedArray]) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (int32) and raw ids (str) of several columns in one.

    Ids are sorted, whole numbers by value, so that row numbers do not depend
    on the order of the file.
    """
    chunks = [chunk for column in columns for chunk in column.chunks]
    unified = pa.chunked_array(chunks).unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in unified.chunks])
    ids = np.array(unified.chunk(0).dictionary.to_pylist(), dtype=object)
    # A parquet file may bring a dictionary with values that no row has.
    used = np.flatnonzero(np.bincount(codes, minlength=len(ids)))
    if all(value.isdecimal() and len(value) <= _MAX_DIGITS for value in ids[used]):
        order = sorted(used, key=lambda code: (int(ids[code]), ids[code]))
    else:
        order = sorted(used, key=ids.__getitem__)
    rank = np.empty(len(ids), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[codes], ids[order]
