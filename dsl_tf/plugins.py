"""Find by name: plug-ins (backbone, method, data set, …) and what modules list.

A plug-in is a module: adding one is adding a file, and no registry is edited. A
user's name may be written with hyphens (`ml-1m`); the module has underscores
(`ml_1m`).
"""

import ast
import contextlib
import copy
import difflib
import functools
import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from dsl_tf.errors import UserError

K = TypeVar("K")
T = TypeVar("T")

#: Modules of a plug-in package that are not plug-ins themselves.
NOT_PLUGINS = ("base",)


def names(package: str) -> list[str]:
    """The names of the plug-ins in a package, sorted, with hyphens.

    Args:
      package: full dotted name, such as `"dsl_tf.methods"`.
    """
    path = importlib.import_module(package).__path__
    modules = (module.name for module in pkgutil.iter_modules(path))
    return sorted(
        name.replace("_", "-")
        for name in modules
        if name not in NOT_PLUGINS and not name.startswith("_")
    )


def find(package: str, name: str, kind: str) -> ModuleType:
    """Import the plug-in `name` of `package`.

    Args:
      package: full dotted name of the package.
      name: the plug-in's name, with hyphens or underscores.
      kind: what to call it in an error, such as `"method"`.

    Raises:
      UserError: no such plug-in; the message lists those that exist.
    """
    check(package, name, kind)
    return importlib.import_module(f"{package}.{name.replace('-', '_')}")


def check(package: str, name: str, kind: str) -> None:
    """Make sure that a plug-in exists, without its import; see `find`.

    Raises:
      UserError: it does not; the message lists those that do.
    """
    known = names(package)
    if name.replace("_", "-") not in known:
        close = difflib.get_close_matches(name.replace("_", "-"), known, n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise UserError(
            f"The {kind} must be one of {', '.join(known)}.{meant} Received: {name!r}."
        )


def settings(package: str) -> dict[str, dict[str, Any]]:
    """What the plug-ins of a package let their users set, with its defaults.

    Args:
      package: full dotted name of the package.

    Returns:
      By a module's name, with underscores, what it calls `SETTINGS`, if it does.
    """
    return literals(package, "SETTINGS")


def literals(package: str, name: str) -> dict[str, Any]:
    """What the modules of a package call by a name, where they do.

    Read from the source: a config needs it at once, and the import of all plug-ins,
    TensorFlow with them, would take seconds.

    Args:
      package: full dotted name of the package.
      name: of a constant, whose value is a literal.

    Returns:
      By the modules' names, with underscores.
    """
    found = {}
    for folder in importlib.import_module(package).__path__:
        for path in sorted(Path(folder).glob("[!_]*.py")):
            value = literal(path, name)
            if value is not None:
                found[path.stem] = value
    return found


def literal(path: Path, name: str, default: Any = None) -> Any:
    """What a source file calls by a name, which is a literal; else `default`."""
    return copy.deepcopy(_constants(path).get(name, default))


@functools.cache  # a study makes hundreds of configs
def _constants(path: Path) -> dict[str, Any]:
    found = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):  # no literal
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def choose(known: Mapping[K, T], name: K, key: str) -> T:
    """What a module lists under a name.

    Args:
      known: name to what is meant.
      name: the name asked for.
      key: the config's key, to be named in an error.

    Raises:
      UserError: no such name; the message lists those that exist.
    """
    if name not in known:
        raise UserError(
            f"`{key}` must be one of {', '.join(map(str, known))}. Received: {name!r}."
        )
    return known[name]
