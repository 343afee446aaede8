"""Reading files, plain or gzip, with errors of one line."""

import gzip
import pathlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from dsl_tf.errors import UserError


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
    with one_line_errors(path):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line := line.rstrip("\r\n"):
                    yield number, line
