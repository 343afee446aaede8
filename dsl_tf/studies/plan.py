"""What a study is, and the runs that it takes; read without importing TensorFlow."""

import dataclasses
import fnmatch
import itertools
import json
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from ml_collections import config_dict

from dsl_tf import config_files, flags
from dsl_tf.errors import UserError
from dsl_tf.reports.runs import Run

#: Sizes of a study: on small data within 20 minutes, and on the paper's.
SIZES = ("quick", "full")

#: The key of a block's config files; all others are keys of those configs.
CONFIG = "config"

#: The key of a run's seeds, of which a cell has one.
_SEEDS = "seeds"

#: Keys whose values name a cell without their key.
_PLAIN = ("method.name", "sparsity.target")


class Shown(Protocol):
    """What an exhibit makes of the results, as files and on the page."""

    def write(self, folder: Path) -> None:
        """Write it to a folder, in the formats that it has."""

    def html(self) -> str:
        """It as a part of a page that needs nothing beside it; safe to insert."""


class Exhibit(Protocol):
    """A table or a figure of a study.

    Attributes:
      name: of its files.
      caption: one line.
      labels: columns that it tells cells apart by, known before a cell has run.
    """

    @property
    def name(self) -> str: ...

    @property
    def caption(self) -> str: ...

    @property
    def labels(self) -> Collection[str]: ...

    def show(self, frame: pd.DataFrame, runs: Mapping[str, Run]) -> Shown | None:
        """Make it of the finished cells.

        Args:
          frame: `gathered.frame`.
          runs: the finished cells by their names.

        Returns:
          None where there is nothing yet to show.

        Raises:
          UserError: the cells do not have what it is of.
        """


@dataclasses.dataclass(frozen=True)
class Study:
    """A grid of runs, and what is to be seen in them.

    Attributes:
      title: one line.
      question: a paragraph: what is asked, of whom, and how it is read.
      grid: blocks, whose cells are taken together. A block has, under `config`, one
        or more config files, such as `configs/neumf.py:ml-1m`, and under keys of
        these one or more values: a tuple has an axis of the block, where the key's
        own value is none; anything else is the value of all its cells.
      exhibits: tables and figures.
      seeds: of each cell of a block that has no axis `seed`.
      keys: for every cell.
    """

    title: str
    question: str
    grid: Sequence[Mapping[str, Any]]
    exhibits: Sequence[Exhibit] = ()
    seeds: Sequence[int] = (0,)
    keys: Mapping[str, Any] = dataclasses.field(default_factory=dict)


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
    """

    name: str
    file: str
    axes: Mapping[str, Any]
    keys: Mapping[str, Any]
    seed: int
    config: config_dict.ConfigDict = dataclasses.field(repr=False)

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


def read(argument: str) -> tuple[str, Study]:
    """A study from `FILE[:SIZE]`; the size is `full` where none is given.

    Returns:
      `NAME-SIZE`, and the study.

    Raises:
      UserError: no such file or size, or the file is at fault.
    """
    file, _, size = argument.partition(":")
    size = size or "full"
    if size not in SIZES:
        raise UserError(
            f"The size of a study must be one of {', '.join(SIZES)}. Received: {size}."
        )
    path = config_files.find(file)
    study = config_files.call(path, size)
    if not isinstance(study, Study):
        raise UserError(
            f"get_config() of {path} must return a dsl_tf.studies.plan.Study. "
            f"Received: {type(study).__name__}."
        )
    return f"{path.stem}-{size}", study


def cells(
    study: Study, settings: Sequence[str] = (), seeds: Sequence[int] = ()
) -> list[Cell]:
    """The cells of a study, each once, in the order of its blocks.

    Args:
      study: the study.
      settings: `KEY=VALUE`, for every cell, over the study's `keys`.
      seeds: in place of the study's; none: those.

    Raises:
      UserError: a key, a value or a config file is wrong, a key of the grid is set
        for every cell, an axis or the whole grid has nothing in it, or two cells that
        differ have one name.
    """
    given = dict(study.keys) | dict(map(_setting, settings))
    found: dict[str, Cell] = {}
    for block in study.grid:
        _check_given(given, block)
        for cell in _block(block, given, tuple(seeds) or tuple(study.seeds)):
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


def _block(
    block: Mapping[str, Any], given: Mapping[str, Any], seeds: tuple[int, ...]
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
        parsed = flags.parse(["", *_arguments(file, every, numbers[0])]).config
        assert parsed is not None  # the mode is `train`
        for seed in numbers:
            # Reading a config file takes longer than a copy.
            config = parsed.copy_and_resolve_references()
            config.seeds = (seed,)
            yield Cell(_name(file, keys, seed), file, keys, every, seed, config)


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
