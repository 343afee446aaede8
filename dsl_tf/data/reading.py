"""Reading files, plain or gzip, with errors of one line."""

import gzip
import pathlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from dsl_tf.errors import UserError

#: Of a value that a message quotes, at most so many characters.
_SHOWN = 60


def existing(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """The file `name`, or `name.gz`, of a folder; None if there is neither."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


@contextmanager
def one_line_errors(path: pathlib.Path) -> Iterator[None]:
    """Turns what can go wrong while reading `path` into a `UserError`."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"A .gz file must be whole (truncated or damaged?). Received: {path}."
        ) from error
    except OSError as error:
        reason = " ".join((error.strerror or str(error)).split())
        raise UserError(
            f"A data file must be readable ({reason}). Received: {path}."
        ) from error


def read_bytes(path: pathlib.Path) -> bytes:
    """The content of a file, unpacked if its name ends in `.gz`.

    Raises:
      UserError: the file cannot be read, is a broken gzip, or is empty.
    """
    with one_line_errors(path):
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                content = file.read()
        else:
            content = path.read_bytes()
    if not content.strip():
        raise UserError(f"A data file must not be empty. Received: {path}.")
    return content


def nonblank_lines(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Each line that is not empty, with its number from 1.

    Raises:
      UserError: as `read_bytes`.
    """
    with one_line_errors(path), open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line := line.rstrip("\r\n"):
                yield number, line


def open_text(path: pathlib.Path, newline: str | None = None) -> IO[str]:
    """Opens a file, plain or gzip, as UTF-8 without a byte order mark."""
    opened: Any = gzip.open if path.suffix == ".gz" else open
    return opened(path, "rt", encoding="utf-8-sig", errors="replace", newline=newline)


def count_nonblank_lines(path: pathlib.Path) -> int:
    """The number of lines that are not empty.

    Raises:
      UserError: as `read_bytes`.
    """
    opened: Any = gzip.open if path.suffix == ".gz" else open
    count, ended = 0, True
    with one_line_errors(path), opened(path, "rb") as file:
        while block := file.read(1 << 20):
            letters = np.frombuffer(block, np.uint8)
            is_end = (letters == ord("\n")) | (letters == ord("\r"))
            after_end = np.concatenate(([ended], is_end[:-1]))
            count += int(np.count_nonzero(after_end & ~is_end))
            ended = bool(is_end[-1])
    return count


def cut(text: str) -> str:
    """At most 60 characters of a text, for a message."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def shown(value: object) -> str:
    """How a message quotes a value: not all of a long one."""
    if not isinstance(value, str):
        return cut(str(value))
    has_break = "\n" in value or "\r" in value
    return repr(cut(value)) + " (is a quote unclosed?)" * has_break
