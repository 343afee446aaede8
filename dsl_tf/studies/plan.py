"""What a study is, and what it shows; read without importing TensorFlow."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from dsl_tf import config_files
from dsl_tf.errors import UserError
from dsl_tf.reports.runs import Run

#: Sizes of a study: on small data within 20 minutes, and on the paper's.
SIZES = ("quick", "full")


class Shown(Protocol):
    """What an exhibit makes of the results, as files and on the page."""

    def write(self, folder: Path) -> None:
        """Write it to a folder, in the formats that it has."""

    def html(self) -> str:
        """It as a part of a page that needs nothing beside it; safe to insert."""


@runtime_checkable
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
    _check(study, path)
    return f"{path.stem}-{size}", study


def _check(study: Study, path: Path) -> None:
    """Make sure that what a study has is what it must be, as far as it is easily seen.

    A comma that is forgotten makes of a tuple of one what is in it.
    """
    rules: dict[str, tuple[Any, type, str]] = {
        "grid": (study.grid, Mapping, "of blocks, such as `({...},)`"),
        "exhibits": (study.exhibits, Exhibit, "of exhibits, such as `(Table(...),)`"),
        "seeds": (study.seeds, int, "of numbers from 0, such as `(0,)`"),
    }
    for name, (each, kind, what) in rules.items():
        several = isinstance(each, Sequence) and not isinstance(each, str)
        if not several or not all(isinstance(one, kind) for one in each):
            raise UserError(
                f"`{name}` of the study in {path} must be a sequence {what}. "
                f"Received: {type(each).__name__}, {each!r}."
            )
    if any(seed < 0 for seed in study.seeds):
        raise UserError(
            f"`seeds` of the study in {path} must be numbers from 0. "
            f"Received: {study.seeds}."
        )
    names = [exhibit.name for exhibit in study.exhibits]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(
            f"Exhibits of the study in {path} must have names of their own, which are "
            f"those of their files. Received: {', '.join(sorted(twice))}."
        )
    for exhibit in study.exhibits:
        for field in ("rows", "columns", "by"):
            if isinstance(value := getattr(exhibit, field, ()), str):
                raise UserError(
                    f"`{field}` of the exhibit {exhibit.name} must be a sequence of "
                    f"labels, such as `({value!r},)`. Received: {value!r}."
                )
