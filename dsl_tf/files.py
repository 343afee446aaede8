"""Files and folders that appear whole or not at all."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file or a folder beside `path`, then move it there.

    Killed at any moment, `path` holds what was there before, is missing (a
    folder, between two renames) or is complete; a new attempt clears the rest.

    Yields:
      A path that does not exist, in the same folder; the block creates it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    replaced = path.with_name(f".{path.name}.replaced")
    _remove(partial)
    try:
        yield partial
        if path.is_dir():  # a rename cannot replace a folder with files in it
            _remove(replaced)
            os.rename(path, replaced)
        os.replace(partial, path)
    except BaseException:
        if replaced.exists() and not path.exists():
            os.rename(replaced, path)
        raise
    finally:
        _remove(partial)
    _remove(replaced)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented; floats keep every bit."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(child.stat().st_size for child in path.rglob("*") if child.is_file())
    return path.stat().st_size


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
