"""Tables of interactions (csv, tsv, parquet): one row each, named columns."""

import csv
import itertools
import pathlib
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from dsl_tf.data import reading
from dsl_tf.errors import UserError

SUFFIXES = (".csv", ".tsv", ".parquet")
SEPARATORS = (",", "\t", ";", "|")
#: What writers of tables put where there is no id.
MISSING = ("", "nan", "null", "na", "<na>")
#: Numbers from here on are times in something less than a millionth of a second.
_LARGE = 9e12
_IDS = pa.dictionary(pa.int32(), pa.string())


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
    """

    users: pa.ChunkedArray
    items: pa.ChunkedArray
    ratings: np.ndarray | None
    times: np.ndarray | None


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
        found, separator = _header(path, columns, separator)
    wanted = [name for name in columns if name and (name in found or name != optional)]
    for name in wanted:
        if name not in found:
            raise UserError(
                f"Column {name!r} must be in {path}. Received: the columns "
                f"{', '.join(map(repr, found))}."
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
        table = _read_csv(path, wanted, columns, separator)
    if not len(table):
        raise UserError(f"A data file must have rows. Received: {path}.")
    return Table(
        _ids(table, columns.user, path),
        _ids(table, columns.item, path),
        _ratings(table, columns.rating, path) if columns.rating in wanted else None,
        _times(table, columns.time, path) if columns.time in wanted else None,
    )


def _parquet_names(path: pathlib.Path) -> list[str]:
    try:
        with reading.one_line_errors(path):
            return list(pyarrow.parquet.read_schema(path).names)
    except pa.ArrowInvalid as error:
        raise UserError(f"A .parquet file must be whole. Received: {path}.") from error


def _header(
    path: pathlib.Path, columns: Columns, separator: str
) -> tuple[list[str], str]:
    """Column names and the separator that yields most of the wanted ones."""
    _, line = next(reading.nonblank_lines(path), (0, ""))
    if not line:
        raise UserError(f"A data file must not be empty. Received: {path}.")
    if len(separator) > 1:
        raise UserError(
            f"`data.separator` must be one letter. Received: {separator!r}."
        )
    by_suffix = "\t" if ".tsv" in path.suffixes else ","
    tried = (separator,) if separator else (by_suffix, *SEPARATORS)
    headers = [(next(csv.reader([line], delimiter=one)), one) for one in tried]
    return max(headers, key=lambda header: len(set(header[0]) & set(columns)))


def _read_csv(
    path: pathlib.Path, wanted: list[str], columns: Columns, separator: str
) -> pa.Table:
    types: dict[str, pa.DataType] = {columns.user: _IDS, columns.item: _IDS}

    def attempt(types: dict[str, pa.DataType], use_threads: bool = True) -> pa.Table:
        with reading.one_line_errors(path):
            return pyarrow.csv.read_csv(
                path,
                pyarrow.csv.ReadOptions(use_threads=use_threads),
                pyarrow.csv.ParseOptions(
                    delimiter=separator, invalid_row_handler=note_wrong_row
                ),
                pyarrow.csv.ConvertOptions(column_types=types, include_columns=wanted),
            )

    wrong_rows: list[pyarrow.csv.InvalidRow] = []

    def note_wrong_row(row: pyarrow.csv.InvalidRow) -> str:
        wrong_rows.append(row)
        return "error"

    try:
        return attempt(types)
    except pa.ArrowInvalid:
        wrong_rows.clear()
    try:
        # Slowly: one thread knows the row, and strings convert in any case.
        strings = {name: pa.string() for name in wanted}
        return attempt(strings | types, use_threads=False)
    except pa.ArrowInvalid as error:
        if not wrong_rows:
            raise UserError(
                f"A data file must be text in UTF-8 ({error}). Received: {path}."
            ) from error
        row = wrong_rows[0]
        raise UserError(
            f"Each row must have {row.expected_columns} columns. Received: "
            f"{row.actual_columns} in {place(path, row.number - 2)}."
        ) from error


def place(path: pathlib.Path, row: int) -> str:
    """Names data row `row` (from 0): "FILE, line N", or "FILE, row N"."""
    if path.suffix == ".parquet":
        return f"{path}, row {row + 1}"
    lines = reading.nonblank_lines(path)
    number, _ = next(itertools.islice(lines, row + 1, None), (row + 2, ""))
    return f"{path}, line {number}"


def _ids(table: pa.Table, name: str, path: pathlib.Path) -> pa.ChunkedArray:
    column = table.column(name)
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        raise UserError(
            f"Each {name!r} must be an id. Received: {column.type} in {path}."
        )
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    if column.type != _IDS:  # a parquet file may hold numbers
        column = column.cast(pa.dictionary(pa.int32(), column.type.value_type))
        column = pa.chunked_array(
            [
                pa.DictionaryArray.from_arrays(
                    chunk.indices, chunk.dictionary.cast(pa.string())
                )
                for chunk in column.chunks
            ],
            _IDS,
        )
    column = column.unify_dictionaries()
    values = column.chunk(0).dictionary.to_pylist()
    wrong = np.array([*map(_is_wrong, values), True])
    if wrong[:-1].any() or column.null_count:
        codes = np.concatenate(
            [chunk.indices.fill_null(len(values)).to_numpy() for chunk in column.chunks]
        )
        rows = np.flatnonzero(wrong[codes])
        if len(rows):  # else a parquet file names what no row has
            row = int(rows[0])
            raise UserError(
                f"Each {name!r} must be an id of one line, not missing. Received: "
                f"{column[row].as_py()!r} in {place(path, row)}."
            )
    return column


def _is_wrong(value: str | None) -> bool:
    # A vocabulary is written one id a line, so an id must be one line.
    return (
        value is None
        or value.strip().lower() in MISSING
        or "\n" in value
        or "\r" in value
    )


def _ratings(table: pa.Table, name: str, path: pathlib.Path) -> np.ndarray:
    column = table.column(name).to_pandas()
    numbers = pd.to_numeric(column, errors="coerce")
    _refuse_first(numbers.isna(), column, "a number", name, path)
    return numbers.to_numpy(np.float32)


def _times(table: pa.Table, name: str, path: pathlib.Path) -> np.ndarray:
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
            dates.isna(), column, "a time in the form of the first", name, path
        )
        return dates.astype("datetime64[us, UTC]").astype(np.int64).to_numpy()
    values = numbers.to_numpy()
    if values.dtype.kind != "f":
        values = values.astype(np.int64)
    _refuse_first(pd.Series(~np.isfinite(values)), column, "a time", name, path)
    if np.abs(values).max() < _LARGE:
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
    wrong: pd.Series, column: pd.Series, what: str, name: str, path: pathlib.Path
) -> None:
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        value = column.iloc[row]
        raise UserError(
            f"Each {name!r} must be {what}. Received: {str(value)!r} in "
            f"{place(path, row)}."
        )
