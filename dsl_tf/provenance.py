"""What a run was made with: versions of packages, and the commit of this one."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import dsl_tf

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
