"""Config files: found, run, and overridden key by key."""

import contextlib
import difflib
import importlib
import inspect
import json
import re
import runpy
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_dict, config_flags

import dsl_tf
from dsl_tf import plugins
from dsl_tf.errors import UserError

#: Keys whose values are plug-ins: the package, and what one is called. Data sets are
#: told by whoever reads them, before anything is read; their package takes seconds.
_PLUGINS = {
    "method.name": ("dsl_tf.methods", "method"),
    "model.name": ("dsl_tf.backbones", "backbone"),
}


def find(name: str) -> Path:
    """The config file `name`: as a path, else the one that the package brings.

    Raises:
      UserError: neither exists; the message lists those of the package.
    """
    path = Path(name)
    if path.is_file():
        return path
    folder = _packaged_folder()
    below = path.relative_to("configs") if path.parts[:1] == ("configs",) else path
    if not path.is_absolute() and (folder / below).is_file():
        return folder / below
    beside = folder / below.parent if ".." not in below.parts else folder
    known = sorted(
        f"configs/{each.relative_to(folder)}"
        for each in (beside if beside.is_dir() else folder).glob("*.py")
        if each.stem not in ("__init__", "base")
    )
    raise UserError(
        f"The config file must exist, or be one of {', '.join(known)}. Received: {name}"
    )


def load(path: Path, data: str | None = None) -> config_dict.ConfigDict:
    """Runs a config file and calls its `get_config`.

    Args:
      path: the file.
      data: the argument for `get_config`; None for its default.

    Raises:
      UserError: the file cannot be read, fails, or has no such `get_config`.
    """
    config = call(path, data)
    if not isinstance(config, config_dict.ConfigDict):
        raise UserError(
            f"get_config() of {path} must return an ml_collections ConfigDict. "
            f"Received: {type(config).__name__}"
        )
    return config


def call(path: Path, argument: str | None = None) -> Any:
    """What `get_config` of a config file returns; see `load`."""
    get_config = _get_config(path)
    if argument is not None and not inspect.signature(get_config).parameters:
        raise UserError(f"get_config() of {path} takes no :DATA. Received: {argument}")
    with _reported(path):
        return get_config() if argument is None else get_config(argument)


def takes_data(path: Path) -> bool:
    """Whether `get_config` of the file takes the name of a data set."""
    return bool(inspect.signature(_get_config(path)).parameters)


def _get_config(path: Path) -> Callable[..., Any]:
    _packaged_folder()  # A config file may import `dsl_tf.configs`.
    with _reported(path):
        get_config = runpy.run_path(str(path)).get("get_config")
    if not callable(get_config):
        raise UserError(f"{path} must define get_config().")
    return get_config


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turns whatever a config file raises into one line with its place."""
    try:
        yield
    except SyntaxError as error:
        raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}") from None
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise UserError(f"{where}: {type(error).__name__}: {error}") from None


def override(
    config: config_dict.ConfigDict, arguments: Sequence[str]
) -> dict[str, Any]:
    """Sets keys of `config`, in place, and locks it.

    Args:
      config: the config.
      arguments: `--config.key=value`, or `--config.key` and `value`.

    Returns:
      The keys set, such as `{"train.epochs": 3}`.

    Raises:
      UserError: an unknown key, or a value of the wrong type.
    """
    config.lock()
    defaults = flatten(config)
    for argument in arguments:
        if match := re.match(r"--?(?:no)?config\.([^=]*)", argument):
            check_key(match[1], defaults)
    argv = ["", *arguments]
    values = flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict(
            "config", config, flag_values=values, sys_argv=argv
        )
        values(argv)
        changed = dict(values["config"].override_values)
        for key, value in changed.items():
            if isinstance(value, tuple):
                changed[key] = _like(defaults[key], key, value)
    except flags.IllegalFlagValueError as error:
        # absl: "flag --config.key=value: what the parser said".
        _, key, value, _ = re.split(r"flag --config\.|=|: ", str(error), maxsplit=3)
        raise _wrong_type(key, defaults[key], value) from None
    except flags.Error as error:
        raise UserError(f"{error}.") from None
    config.update_from_flattened_dict(changed)
    return changed


def sparsity(config: config_dict.ConfigDict) -> float:
    """The `sparsity.target` of a config; 0 where its method leaves no weight out."""
    name = config.method.name.replace("-", "_")
    reads = plugins.literals("dsl_tf.methods", "READS_SPARSITY").get(name, True)
    return float(config.sparsity.target) if reads else 0.0


def completed(values: Mapping[str, Any]) -> config_dict.ConfigDict:
    """A config as a run recorded it, with defaults for keys newer than the run."""
    _packaged_folder()  # makes `dsl_tf.configs` known
    defaults = importlib.import_module("dsl_tf.configs.base").get_config()
    config = config_dict.ConfigDict(values)
    known = flatten(config)
    for key, default in flatten(defaults).items():
        if key not in known:
            *sections, name = key.split(".")
            node = config
            for section in sections:
                if section not in node:
                    node[section] = config_dict.ConfigDict()
                node = node[section]
            node[name] = default
    return config


def effective(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What a run looks at of a config as a run records it, by dotted keys.

    A run may be older than a key of the config, whose default it then had. Of methods'
    settings it has its own method's.
    """
    # As JSON has it, which knows no tuples.
    whole = json.loads(completed(recorded).to_json_best_effort())
    flat = flatten(config_dict.ConfigDict(whole))
    own = flat["method.name"].replace("-", "_")
    return {key: flat[key] for key in flat if _of_method(key) in (None, own)}


def _of_method(key: str) -> str | None:
    """The method that a key is a setting of, if it is one."""
    node, *names = key.split(".")
    return names[0] if node == "method" and len(names) > 1 else None


def check_names(values: Mapping[str, Any]) -> None:
    """Make sure that there are the methods and backbones that keys name.

    Args:
      values: of a config, by its dotted keys; keys that name none are passed over.

    Raises:
      UserError: there is no such one; the message lists those that exist.
    """
    for key, (package, kind) in _PLUGINS.items():
        if key in values:
            plugins.check(package, values[key], kind)


def flatten(config: config_dict.ConfigDict, prefix: str = "") -> dict[str, Any]:
    """The values by their dotted keys, such as `{"train.epochs": 50}`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, config_dict.ConfigDict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _packaged_folder() -> Path:
    """The folder `dsl_tf.configs`; makes sure that it can be imported."""
    try:
        configs = importlib.import_module("dsl_tf.configs")
    except ModuleNotFoundError:  # A checkout that is not installed.
        dsl_tf.__path__.append(str(Path(dsl_tf.__file__).parents[1]))
        configs = importlib.import_module("dsl_tf.configs")
    return Path(configs.__path__[0])


def check_key(key: str, known: Mapping[str, Any]) -> None:
    """Make sure that a config has a key.

    Raises:
      UserError: it has not; the message has what may have been meant.
    """
    if key in known:
        return
    inside = [each for each in known if each.startswith(f"{key}.")]
    if inside:
        raise UserError(
            f"`config.{key}` is a section: set its keys one by one, such as "
            f"--config.{inside[0]}={known[inside[0]]}."
        )
    section, _, word = key.rpartition(".")
    beside = [each for each in known if each.rpartition(".")[0] == section]
    for pool in (beside, list(known)):
        full = {each.rpartition(".")[2]: each for each in pool}
        if close := difflib.get_close_matches(word, full, n=1):
            raise UserError(
                f"The config has no key `{key}`. Did you mean {full[close[0]]}?"
            )
    sections = sorted({each.split(".")[0] for each in known})
    there = beside if section and beside else sections
    raise UserError(f"The config has no key `{key}`. Known: {', '.join(there)}.")


def _like(default: tuple[Any, ...], key: str, value: tuple[Any, ...]) -> tuple:
    """A tuple with elements of the type of `default`; texts split at commas."""
    kind = type(default[0])
    if kind is str:
        return tuple(word for each in value for word in str(each).split(",") if word)
    if kind is float:
        value = tuple(float(each) if type(each) is int else each for each in value)
    if not value or any(type(each) is not kind for each in value):
        raise _wrong_type(key, default, ",".join(map(str, value)))
    return value


def _wrong_type(key: str, default: Any, value: str) -> UserError:
    rule = {bool: "true or false", int: "an integer", float: "a number"}.get(
        type(default), f"like {default!r}"
    )
    return UserError(f"`config.{key}` must be {rule}. Received: {value}")
