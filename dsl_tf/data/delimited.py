"""Delimited text (csv, tsv): the separator, the rows and the lines they are in."""

import csv
import pathlib
import sys
from collections.abc import Collection

import pyarrow as pa
import pyarrow.csv

from dsl_tf.data import reading
from dsl_tf.errors import UserError

SEPARATORS = (",", "\t", ";", "|")
#: How a column of raw ids is read: exactly as they are written.
IDS = pa.dictionary(pa.int32(), pa.string())


def header(
    path: pathlib.Path, wanted: Collection[str], separator: str
) -> tuple[list[str], str]:
    """Column names and the separator that yields most of the wanted ones.

    Args:
      path: the file, plain or gzip.
      wanted: names of columns.
      separator: the one to take; empty = found in the first line.

    Raises:
      UserError: an empty file, or a separator of several letters.
    """
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
    return max(headers, key=lambda header: len(set(header[0]) & set(wanted)))


def read(
    path: pathlib.Path, wanted: list[str], ids: Collection[str], separator: str
) -> pa.Table:
    """Reads the wanted columns, those of `ids` as `IDS`.

    Raises:
      UserError: a row of another width, a value that does not end, or no UTF-8.
    """
    types: dict[str, pa.DataType] = dict.fromkeys(ids, IDS)

    def attempt(types: dict[str, pa.DataType], use_threads: bool = True) -> pa.Table:
        with reading.one_line_errors(path):
            return pyarrow.csv.read_csv(
                path,
                pyarrow.csv.ReadOptions(use_threads=use_threads),
                pyarrow.csv.ParseOptions(
                    delimiter=separator,
                    newlines_in_values=True,
                    invalid_row_handler=note_wrong_row,
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
        if wrong_rows:
            row = wrong_rows[0]
            raise UserError(
                f"Each row must have {row.expected_columns} columns. Received: "
                f"{row.actual_columns} in {place(path, row.number - 2, separator)}."
            ) from error
        if "straddling" in str(error):
            raise UserError(
                "Each value must end within a million letters (is a quote unclosed?). "
                f"Received: another in {place(path, sys.maxsize, separator)}."
            ) from error
        raise UserError(
            f"A data file must be text in UTF-8 ({reading.cut(str(error))}). "
            f"Received: {path}."
        ) from error


def quoted_lines(path: pathlib.Path, num_rows: int) -> list[str]:
    """A counted line on those that are in a value of a row that began before them."""
    inside = reading.count_nonblank_lines(path) - 1 - num_rows
    if inside <= 0:
        return []
    return [
        f"{inside:,} lines of {path.name} are inside quoted values (is a quote "
        "unclosed?)."
    ]


def place(path: pathlib.Path, row: int, separator: str) -> str:
    """Names the line in which data row `row` (from 0) begins: "FILE, line N".

    Or the row before it in which a value does not end.
    """
    with reading.one_line_errors(path), reading.open_text(path, newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        left, begins = row + 1, 1  # the header is a row too
        try:
            while left >= 0:
                begins = rows.line_num + 1
                left -= bool(next(rows))
        except (csv.Error, StopIteration):
            pass
    return f"{path}, line {begins}"
