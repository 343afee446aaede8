"""The runs that the grid of a study takes; read without importing TensorFlow."""

import dataclasses
import fnmatch
import itertools
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from dsl_tf import flags
from dsl_tf.errors import UserError
from dsl_tf.studies.plan import Study
from dsl_tf.tuning import best
from dsl_tf.tuning.best import Best

#: The key of a block's config files; all others are keys of those configs.
CONFIG = "config"

#: Characters of a cell's name, which is that of a folder and of files beside it.
_LONGEST = 200

#: The key of a run's seeds, of which a cell has one.
_SEEDS = "seeds"

#: Keys that say what data a run has.
_OF_DATA = ("data.name", "data.path")

#: Keys whose values name a cell without their key.
_PLAIN = ("method.name", "sparsity.target")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes:
      name: of its folder.
      file: the config file, with its `:DATA`.
      axes: what the block says of it: keys to values.
      keys: every key that is set, those of `axes` and of the whole study.
      seed: of the run.
      config: the whole config that this makes.
      untuned: the same without values that a search found.
      search: the folder of that search; "" where there was none.
    """

    name: str
    file: str
    axes: Mapping[str, Any]
    keys: Mapping[str, Any]
    seed: int
    config: config_dict.ConfigDict = dataclasses.field(repr=False)
    untuned: config_dict.ConfigDict = dataclasses.field(repr=False)
    search: str = ""

    @property
    def arguments(self) -> list[str]:
        """Of `python -m dsl_tf.main`, but for the folder."""
        return _arguments(self.file, self.keys, self.seed)

    @property
    def command(self) -> str:
        """To be copied into a shell: the same run, in a folder of its own."""
        arguments = [*self.arguments, f"--output_dir=saved_models/{self.name}"]
        return f"python -m dsl_tf.main {shlex.join(arguments)}"

    def settings(self) -> dict[str, Any]:
        """The config as a run records it."""
        recorded: dict[str, Any] = json.loads(self.config.to_json_best_effort())
        return recorded


def cells(
    study: Study,
    settings: Sequence[str] = (),
    seeds: Sequence[int] = (),
    searches: Sequence[Best] = (),
) -> list[Cell]:
    """The cells of a study, each once, in the order of its blocks.

    Args:
      study: the study.
      settings: `KEY=VALUE`, for every cell, over the study's `keys`.
      seeds: in place of the study's; none: those.
      searches: whose best values cells have for keys that neither the grid nor the
        study nor `settings` has.

    Raises:
      UserError: a key, a value or a config file is wrong, a key of the grid is set
        for every cell, an axis or the whole grid has nothing in it, two cells that
        differ have one name, or two searches serve one cell as well.
    """
    given = dict(study.keys) | dict(map(_setting, settings))
    found: dict[str, Cell] = {}
    for block in study.grid:
        _check_given(given, block)
        numbers = tuple(seeds) or tuple(study.seeds)
        for cell in _block(block, given, numbers, searches):
            if len(cell.name) > _LONGEST:
                raise UserError(
                    f"A cell's name must have at most {_LONGEST} characters: what all "
                    "cells of a study have goes to its `keys`. "
                    f"Received: {len(cell.name)}, {cell.name}."
                )
            before = found.setdefault(cell.name, cell)
            if before.settings() != cell.settings():
                raise UserError(
                    "Cells of a study must differ in what the grid says of them. "
                    f"Received: {shlex.join(before.arguments)} and "
                    f"{shlex.join(cell.arguments)}, both {cell.name}."
                )
    if not found:
        raise UserError("The `grid` of a study must have a block. Received: none.")
    return list(found.values())


def only(found: Sequence[Cell], patterns: Sequence[str]) -> list[Cell]:
    """The cells whose names match one of some patterns, such as `*-dsl-*`.

    Raises:
      UserError: a pattern that no name matches.
    """
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(cell.name, pattern) for cell in found):
            raise UserError(
                "`--only` must match cells of the study, such as "
                f"{found[0].name}. Received: {pattern}."
            )
    return [
        cell
        for cell in found
        if any(fnmatch.fnmatchcase(cell.name, pattern) for pattern in patterns)
    ]


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UserError(f"`--set` must be KEY=VALUE. Received: {text}.")
    return key, value


def _check_given(given: Mapping[str, Any], block: Mapping[str, Any]) -> None:
    """Every cell is to be what its name and its row in the results say."""
    if _SEEDS in given or _SEEDS in block:
        received = given.get(_SEEDS, block.get(_SEEDS))
        raise UserError(
            "The seeds of a study are no key: --seeds=0,1 sets them, or `seeds` and an "
            f"axis `seed` in its config file. Received: {_SEEDS}={received}."
        )
    for key in given:
        if key in block:
            raise UserError(
                "A key of a study's grid cannot be set for every cell; --only chooses "
                f"cells. Received: {key}={given[key]}, in the grid "
                f"{key}={_text(block[key])}."
            )
        files = block.get(CONFIG, ())
        for file in files if isinstance(files, tuple) else (files,):
            data = str(file).partition(":")[2]
            if key in _OF_DATA and data not in ("", "own"):
                raise UserError(
                    "The data of a study's cells are those that their config files "
                    f"name; `{key}` can be set where all are `:own`. Received: "
                    f"{key}={given[key]}, for {file}."
                )


def _block(
    block: Mapping[str, Any],
    given: Mapping[str, Any],
    seeds: tuple[int, ...],
    searches: Sequence[Best],
) -> Iterator[Cell]:
    axes = dict(block)
    numbers = axes.pop("seed", seeds)
    numbers = numbers if isinstance(numbers, tuple) else (numbers,)
    if CONFIG not in axes:
        raise UserError(
            "A block of a study must have `config`, its config files. "
            f"Received: {', '.join(block)}."
        )
    for key, each in (*axes.items(), ("seed", numbers)):
        if each == ():
            raise UserError(
                "An axis of a study must have a value; to set a key to an empty tuple, "
                f"an axis has that as its one value: ((),). Received: {key}=()."
            )
    values = [each if isinstance(each, tuple) else (each,) for each in axes.values()]
    for chosen in itertools.product(*values):
        keys = dict(zip(axes, chosen, strict=True))
        file, every = keys.pop(CONFIG), {**keys, **given}
        untuned = parsed = _parsed(file, every, numbers[0])
        if search := best.find(searches, file, untuned):
            every = {**search.settings, **every}
            parsed = _parsed(file, every, numbers[0])
        for seed in numbers:
            yield Cell(
                _name(file, keys, seed),
                file,
                keys,
                every,
                seed,
                config=_with_seed(parsed, seed),
                untuned=_with_seed(untuned, seed),
                search=str(search.folder) if search else "",
            )


def _parsed(file: str, keys: Mapping[str, Any], seed: int) -> config_dict.ConfigDict:
    config = flags.parse(["", *_arguments(file, keys, seed)]).config
    assert config is not None  # the mode is `train`
    return config


def _with_seed(config: config_dict.ConfigDict, seed: int) -> config_dict.ConfigDict:
    """A copy; to read a config file takes longer."""
    config = config.copy_and_resolve_references()
    config.seeds = (seed,)
    return config


def _arguments(file: str, keys: Mapping[str, Any], seed: int) -> list[str]:
    texts = {**keys, _SEEDS: (seed,)}
    return [f"--config={file}", *(f"--config.{k}={_text(v)}" for k, v in texts.items())]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({','.join(repr(each) for each in value)},)" if value else "()"
    return str(value)


def _name(file: str, keys: Mapping[str, Any], seed: int) -> str:
    path, _, data = file.partition(":")
    parts = [Path(path).stem, *([data] if data else [])]
    parts += [str(keys[key]) for key in _PLAIN if key in keys]
    parts += [
        f"{key.rpartition('.')[2]}={_text(value)}"
        for key, value in keys.items()
        if key not in _PLAIN
    ]
    return re.sub(r"[^\w.=-]+", "_", "-".join([*parts, f"seed{seed}"]))
