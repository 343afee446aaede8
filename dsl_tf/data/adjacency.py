"""Adjacency lists: text files with one line per user, `user item item ...`.

The format of NGCF and LightGCN: ids are row numbers from 0. Beside a
list there may be `user_list.txt` and `item_list.txt` (header `org_id remap_id`),
which give the raw id of each row number. Every file may be gzipped (`.gz`).
"""

import pathlib
from typing import NamedTuple

import numpy as np

from dsl_tf.data.reading import existing, read_bytes, shown
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Interactions

#: Row numbers have at most this many digits: they are stored as int32.
MAX_DIGITS = 9
#: A table of fewer rows may be as empty as it likes.
MAX_SPARSE_ROWS = 1_000_000


class Lines(NamedTuple):
    """Whole numbers of a text file, line by line.

    Attributes:
      numbers: int64 [n], all numbers in reading order.
      starts: int64 [lines + 1]: line i holds `numbers[starts[i]:starts[i + 1]]`.
    """

    numbers: np.ndarray
    starts: np.ndarray


def parse_lines(content: bytes, path: pathlib.Path) -> Lines:
    """Parses text that holds nothing but row numbers and white space.

    Args:
      content: the text, not empty.
      path: the file it is from, for errors.

    Raises:
      UserError: another token; the message names file and line.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
    if b"\n" not in content:  # lines may end as they did long ago
        content = content.replace(b"\r", b"\n")
    letters = np.frombuffer(content, np.uint8)
    is_digit = (letters >= ord("0")) & (letters <= ord("9"))
    is_space = np.isin(letters, np.frombuffer(b" \t\r\n", np.uint8))
    wrong = ~(is_digit | is_space)
    before = np.concatenate(([False], is_digit[:-1]))
    token_starts = np.flatnonzero(is_digit & ~before)
    token_ends = np.flatnonzero(~is_digit & before)
    if is_digit[-1]:
        token_ends = np.append(token_ends, len(letters))
    too_long = token_ends - token_starts > MAX_DIGITS
    if wrong.any() or too_long.any():
        bad = np.append(np.flatnonzero(wrong)[:1], token_starts[too_long][:1]).min()
        number = content.count(b"\n", 0, bad) + 1
        line = content.split(b"\n")[number - 1].decode("utf-8", "replace")
        start = bad - (content.rfind(b"\n", 0, bad) + 1)
        token = (line[:start].split(" ")[-1] + line[start:]).split()[0]
        raise UserError(
            "An adjacency list must hold row numbers (0, 1, 2, ...) only. "
            f"Received: {shown(token)} in {path}, line {number}."
        )
    line_ends = np.flatnonzero(letters == ord("\n"))
    starts = np.searchsorted(token_starts, line_ends)
    return Lines(
        np.fromstring(content.decode("ascii"), np.int64, sep=" "),
        np.concatenate(([0], starts, [len(token_starts)])),
    )


def read_adjacency(path: pathlib.Path) -> Interactions:
    """Reads `user item item ...` lines; blank lines and bare users are fine.

    The order of the items is kept in `places`.

    Raises:
      UserError: a token that is no row number; names file and line.
    """
    numbers, starts = parse_lines(read_bytes(path), path)
    lengths = np.diff(starts)
    heads = starts[:-1][lengths > 0]
    is_item = np.ones(len(numbers), bool)
    is_item[heads] = False
    users = np.repeat(numbers[heads], lengths[lengths > 0] - 1)
    return Interactions(
        users.astype(np.int32),
        numbers[is_item].astype(np.int32),
        places=np.arange(len(users), dtype=np.int64),
    )


def read_counted(path: pathlib.Path) -> Interactions:
    """Reads `count item item ...` lines; the line number, from 0, is the user.

    The format of CiteULike's `users.dat`.

    Raises:
      UserError: a wrong token or count; names file and line.
    """
    numbers, starts = parse_lines(read_bytes(path), path)
    while len(starts) > 1 and starts[-1] == starts[-2]:
        starts = starts[:-1]  # blank lines at the end are no users
    lengths = np.diff(starts)
    counts = numbers[np.minimum(starts[:-1], len(numbers) - 1)]
    wrong = (lengths == 0) | (counts != lengths - 1)
    if wrong.any():
        line = int(np.argmax(wrong))
        raise UserError(
            "Each line must hold its number of items, then the items. Received: "
            f"{lengths[line]} numbers in {path}, line {line + 1}."
        )
    is_item = np.ones(len(numbers), bool)
    is_item[starts[:-1]] = False
    users = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return Interactions(users, numbers[is_item].astype(np.int32))


def write_adjacency(interactions: Interactions, path: pathlib.Path) -> None:
    """Writes interactions sorted by user, then item, as an adjacency list."""
    starts = np.flatnonzero(np.diff(interactions.users, prepend=-1))
    items = np.split(interactions.items.astype(str), starts[1:])
    with path.open("w", encoding="ascii", newline="\n") as file:
        for user, row in zip(interactions.users[starts], items, strict=True):
            file.write(f"{user} {' '.join(row)}\n")


def read_ids(folder: pathlib.Path, name: str, count: int) -> np.ndarray:
    """Raw ids by row number from `user_list.txt` or `item_list.txt`.

    Args:
      folder: where the list may lie.
      name: the file's name.
      count: the number of rows that are in use; a list may have more.

    Returns:
      str objects [count or more]; without a list the numbers themselves.

    Raises:
      UserError: the list does not name each row number once.
    """
    path = existing(folder, name)
    if path is None:
        return np.arange(count).astype(str).astype(object)
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} must be text in UTF-8. Received: byte {error.start} of {path}."
        ) from None
    rows: dict[int, str] = {}
    for number, line in enumerate(lines[1:], 2):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2 or not fields[1].isdecimal() or len(fields[1]) > MAX_DIGITS:
            raise UserError(
                "A line must hold a raw id, then its row number. Received: "
                f"{shown(line)} in {path}, line {number}."
            )
        row = int(fields[1])
        if row in rows:
            raise UserError(
                f"{name} must name each row number once. Received: {row} again in "
                f"{path}, line {number}."
            )
        rows[row] = fields[0]
    count = max(count, len(rows))
    missing = next((row for row in range(count) if row not in rows), None)
    if missing is not None:
        raise UserError(
            f"{name} must name every row number. Received: {path} without {missing}."
        )
    if len(set(rows.values())) < count:
        raise UserError(f"{name} must name each raw id once. Received: {path}.")
    return np.array([rows[row] for row in range(count)], dtype=object)


def has_split(folder: pathlib.Path) -> bool:
    """Whether a folder holds `train.txt` and `test.txt`, plain or gzip."""
    return all(existing(folder, f"{part}.txt") for part in ("train", "test"))


def load_folder(folder: pathlib.Path, name: str, split_label: str) -> Dataset:
    """Reads `train.txt`, `test.txt` and, if there, `validation.txt`.

    Raises:
      UserError: a broken file.
    """
    parts = {}
    for part in ("train", "validation", "test"):
        if path := existing(folder, f"{part}.txt"):
            parts[part] = read_adjacency(path)
    return with_ids(parts, folder, name, split_label)


def with_ids(
    parts: dict[str, Interactions], folder: pathlib.Path, name: str, split_label: str
) -> Dataset:
    """A data set of row numbers, with the raw ids that lie in `folder`.

    Row numbers stay as they are, with empty rows for those that never occur
    (a counted warning).

    Args:
      parts: `train` and, if there, `validation` and `test`.
      folder: where `user_list.txt` and `item_list.txt` may lie.
      name: of the data set.
      split_label: of the split that the parts are.

    Raises:
      UserError: the numbers are so large that they must be raw ids, or a wrong
        list of raw ids.
    """
    ids, warnings = [], []
    for kind in ("user", "item"):
        rows = np.concatenate([getattr(part, f"{kind}s") for part in parts.values()])
        if rows.max(initial=0) >= max(MAX_SPARSE_ROWS, 100 * len(rows)):
            raise UserError(
                "Adjacency lists must hold row numbers; raw ids go into a csv. "
                f"Received: {kind} {rows.max()} in {folder}."
            )
        counts = np.bincount(rows)
        ids.append(read_ids(folder, f"{kind}_list.txt", len(counts)))
        if gaps := len(ids[-1]) - np.count_nonzero(counts):
            warnings.append(
                f"{gaps:,} {kind} ids never occur (gaps in ids: kept as empty rows)."
            )
    user_ids, item_ids = ids
    return Dataset(
        name,
        user_ids,
        item_ids,
        parts["train"],
        parts.get("test"),
        parts.get("validation"),
        split_label=split_label,
        warnings=tuple(warnings),
    )
