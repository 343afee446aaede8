"""What a run was made with, as its `config.json` says it."""

import functools
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import dsl_tf
from dsl_tf.errors import UserError

#: What a run writes first.
FILE = "config.json"

_PACKAGES = (
    "tensorflow",
    "tf_keras",
    "tensorflow-recommenders",
    "tensorflow-model-optimization",
    "numpy",
    "pandas",
)


def versions() -> dict[str, str]:
    """Those of this package, of Python and of what numbers depend on, by name."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "dsl_tf": dsl_tf.__version__,
        "python": platform.python_version(),
        **found,
    }


@functools.cache
def code() -> str:
    """sha256 of this package's files, whatever commit they are of, or none."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def git_commit() -> str | None:
    """The commit of this package's own repository, if it runs from one."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():  # installed, maybe inside another's
        return None
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def read(folder: Path) -> dict[str, Any]:
    """The content of a run's `config.json`.

    Raises:
      UserError: there is none, or it is no run's.
    """
    file = folder / FILE
    try:
        settings: dict[str, Any] = json.loads(file.read_text("utf-8"))
        if {"config", "seed", "data"} <= settings.keys():
            return settings
    except FileNotFoundError:
        raise UserError(f"A run must be in the folder. Received: {folder}.") from None
    except (ValueError, AttributeError):
        pass
    raise UserError(
        "The config.json in a run's folder must be that of a run, whole. "
        f"Received: {file}."
    )
