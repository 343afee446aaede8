"""Tables of interactions (csv, tsv, parquet): one row each, named columns."""

import pathlib
import uuid
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from dsl_tf.data import delimited, reading
from dsl_tf.errors import UserError

SUFFIXES = (".csv", ".tsv", ".parquet")
#: What writers of tables put where there is no id; in text it may be one.
MISSING = ("nan", "null", "na", "<na>")
#: Numbers from here on are times in something less than a millionth of a second.
_LARGE = 9e12
#: Names the place of a row, by its number from 0.
_Place = Callable[[int], str]


class Columns(NamedTuple):
    """The columns to read, by name; an empty name is a column not read.

    Attributes:
      user: raw user ids.
      item: raw item ids.
      rating: numbers.
      time: numbers, or dates in a form that pandas reads.
    """

    user: str
    item: str
    rating: str = ""
    time: str = ""


class Table(NamedTuple):
    """The columns of one file.

    Attributes:
      users: raw ids, dictionary of str.
      items: raw ids, dictionary of str.
      ratings: float32 [n], or None.
      times: int64 [n], or None.
      warnings: one line for each kind of untidiness found, with its count.
    """

    users: pa.ChunkedArray
    items: pa.ChunkedArray
    ratings: np.ndarray | None
    times: np.ndarray | None
    warnings: tuple[str, ...] = ()


def read(
    path: pathlib.Path, columns: Columns, separator: str = "", optional: str = ""
) -> Table:
    """Reads the columns of one file; ids stay exactly as they are written.

    Args:
      path: csv or tsv, plain or gzip, or parquet.
      columns: the names of those to read.
      separator: of csv and tsv; empty = found in the first line.
      optional: a column that may be missing.

    Raises:
      UserError: a missing column (lists those found), an empty file, a row of
        another width, a missing id or a value that is no number; names file
        and line.
    """
    is_parquet = path.suffix.lower() == ".parquet"
    if is_parquet:
        found = _parquet_names(path)
    else:
        found, separator = delimited.header(path, columns, separator)
    wanted = [name for name in columns if name and (name in found or name != optional)]
    keys = {name: f"data.{field}_column" for field, name in columns._asdict().items()}
    for name in wanted:
        if name not in found:
            raise UserError(
                f"Column {name!r} (`{keys[name]}`) must be in {path}. Received: the "
                f"columns {', '.join(map(reading.shown, found))}."
            )
        if found.count(name) > 1:
            raise UserError(
                f"Column {name!r} must be in {path} once. Received: "
                f"{found.count(name)} of this name."
            )
    if is_parquet:
        with reading.one_line_errors(path):
            table = pyarrow.parquet.read_table(path, columns=wanted)
    else:
        table = delimited.read(path, wanted, columns[:2], separator)
    if not len(table):
        raise UserError(f"A data file must have rows. Received: {path}.")

    def place(row: int) -> str:
        if is_parquet:
            return f"{path}, row {row + 1}"
        return delimited.place(path, row, separator)

    ids, untidy = [], []
    if not is_parquet:
        untidy += delimited.quoted_lines(path, len(table))
    for name in columns[:2]:
        column = table.column(name)
        if is_parquet:
            column = _ids(_encoded(column, name, path), name, MISSING, place)
        else:
            column = _ids(column, name, (), place)
            untidy += _words(column, name, path)
        ids.append(column)
    users, items = ids
    return Table(
        users,
        items,
        _ratings(table, columns.rating, place) if columns.rating in wanted else None,
        _times(table, columns.time, place) if columns.time in wanted else None,
        tuple(untidy),
    )


def _parquet_names(path: pathlib.Path) -> list[str]:
    try:
        with reading.one_line_errors(path):
            return list(pyarrow.parquet.read_schema(path).names)
    except pa.ArrowInvalid as error:
        raise UserError(f"A .parquet file must be whole. Received: {path}.") from error


def _encoded(column: pa.ChunkedArray, name: str, path: pathlib.Path) -> pa.ChunkedArray:
    """Ids of a parquet file, which may be numbers or UUIDs, as text."""
    kind = column.type
    refused = UserError(
        f"Each {name!r} must be an id. Received: {reading.cut(str(kind))} in {path}."
    )
    is_uuid = kind == pa.uuid()
    if is_uuid:
        chunks = [chunk.storage for chunk in column.chunks]
        column = pa.chunked_array(chunks, kind.storage_type)
    elif not _may_be_ids(kind):
        raise refused
    try:
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        column = column.cast(pa.dictionary(pa.int32(), column.type.value_type))
        return pa.chunked_array(
            [
                pa.DictionaryArray.from_arrays(
                    chunk.indices, _text(chunk.dictionary, is_uuid)
                )
                for chunk in column.chunks
            ],
            delimited.IDS,
        )
    except pa.ArrowNotImplementedError as error:
        raise refused from error


def _may_be_ids(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return not (
        pa.types.is_nested(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )


def _text(values: pa.Array, is_uuid: bool) -> pa.Array:
    if not is_uuid:
        return values.cast(pa.string())
    texts = [str(uuid.UUID(bytes=value.as_py())) for value in values]
    return pa.array(texts, pa.string())


def _ids(
    column: pa.ChunkedArray, name: str, missing: tuple[str, ...], place: _Place
) -> pa.ChunkedArray:
    """Refuses ids that are `missing`, blank or of several lines."""
    column = column.unify_dictionaries()
    values = column.chunk(0).dictionary.to_pylist()
    wrong = np.array([*(_is_wrong(value, missing) for value in values), True])
    if wrong[:-1].any() or column.null_count:
        rows = np.flatnonzero(wrong[_codes(column)])
        if len(rows):  # else a parquet file names what no row has
            row = int(rows[0])
            raise UserError(
                f"Each {name!r} must be an id of one line, not missing. Received: "
                f"{reading.shown(column[row].as_py())} in {place(row)}."
            )
    return column


def _is_wrong(value: str | None, missing: tuple[str, ...]) -> bool:
    # A vocabulary is written one id a line, so an id must be one line.
    return (
        value is None
        or not value.strip()
        or value.strip().lower() in missing
        or "\n" in value
        or "\r" in value
    )


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """Each row's place in the dictionary; beyond it = null."""
    size = len(column.chunk(0).dictionary)
    return np.concatenate(
        [chunk.indices.fill_null(size).to_numpy() for chunk in column.chunks]
    )


def _words(column: pa.ChunkedArray, name: str, path: pathlib.Path) -> list[str]:
    """A counted line on the ids that read like a missing one."""
    values = column.chunk(0).dictionary.to_pylist()
    is_word = np.array([str(value).strip().lower() in MISSING for value in values])
    if not is_word.any():
        return []
    codes = _codes(column)
    rows = codes[is_word[codes]]
    return [
        f"{len(rows):,} rows of {path.name} have {values[rows[0]]!r} or the like as "
        f"{name!r} (taken as an id)."
    ]


def _ratings(table: pa.Table, name: str, place: _Place) -> np.ndarray:
    column = table.column(name).to_pandas()
    numbers = pd.to_numeric(column, errors="coerce")
    _refuse_first(numbers.isna(), column, "a number", name, place)
    return numbers.to_numpy(np.float32)


def _times(table: pa.Table, name: str, place: _Place) -> np.ndarray:
    """Millionths of a second, or of what numbers count; only their order is used.

    Whole numbers that are that large already, such as nanoseconds, stay as they are.
    """
    column = table.column(name).to_pandas()
    numbers = column
    if isinstance(column.dtype, pd.StringDtype) or column.dtype == object:
        numbers = pd.to_numeric(column, errors="coerce")
    if not pd.api.types.is_numeric_dtype(numbers) or numbers.isna().all():
        dates = _dates(column)
        _refuse_first(
            dates.isna(), column, "a time in the form of the first", name, place
        )
        return dates.astype("datetime64[us, UTC]").astype(np.int64).to_numpy()
    values = numbers.to_numpy()
    # As floats: of whole numbers the lowest has no opposite.
    sizes = np.abs(values.astype(np.float64))
    _refuse_first(
        pd.Series(~(sizes < 2.0**63)), column, "a time of less than 2^63", name, place
    )
    if values.dtype.kind != "f":
        values = values.astype(np.int64)
    if sizes.max() < _LARGE:
        values = (values * 1e6).round()
    return values.astype(np.int64)


def _dates(column: pd.Series) -> pd.Series:
    """Dates of one form, ISO 8601 or that of the first; NaT where one has another.

    Read row by row, 02/03 would be in February and 13/03 in March.
    """
    dates = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    if not dates.isna().any():
        return dates
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is no form
        return pd.to_datetime(column, utc=True, errors="coerce")


def _refuse_first(
    wrong: pd.Series, column: pd.Series, what: str, name: str, place: _Place
) -> None:
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        value = column.iloc[row]
        raise UserError(
            f"Each {name!r} must be {what}. Received: {reading.shown(str(value))} in "
            f"{place(row)}."
        )
