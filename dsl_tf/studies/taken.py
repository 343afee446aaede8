"""Finished runs of other studies that are a cell's too: they are not made again."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.console
from ml_collections import config_dict
from rich.text import Text

from dsl_tf import config_files, provenance
from dsl_tf.command_line import importing_tensorflow
from dsl_tf.errors import UserError
from dsl_tf.studies import cells
from dsl_tf.studies.cells import Place, Status

#: Keys in which a run of one seed and one of several may differ.
_SEEDS = "seeds"


def alike(places: Sequence[Place], root: Path) -> dict[str, Path]:
    """Runs that are those of cells which have not been begun.

    Alike are runs of the same config, but for settings of other methods, of the same
    seed and data, that the same code of this package made, with the same versions of
    others.

    Args:
      places: of the cells.
      root: a folder with runs at any depth, such as `studies`.

    Returns:
      Folders of finished runs by the names of cells.

    Raises:
      UserError: `root` has no finished run.
    """
    finished = list(_finished(root))
    if not finished:
        raise UserError(
            f"`--runs` must be a folder with finished runs. Received: {root}."
        )
    made_now = provenance.versions(), provenance.code()
    found: dict[str, list[tuple[Path, str]]] = {}
    for folder in finished:
        with contextlib.suppress(UserError):  # of something else
            run = provenance.read(folder)
            if (run.get("versions"), run.get("code")) == made_now:
                key = _key(run["config"], run["seed"])
                found.setdefault(key, []).append((folder, run["data"]["fingerprint"]))
    taken: dict[str, Path] = {}
    data_of = _Fingerprints()
    for place in places:
        key = _key(place.cell.settings(), place.cell.seed)
        if place.status is Status.WAITING and key in found:
            data = data_of(place.cell.config.data)
            same = [folder for folder, its in found[key] if its == data]
            if same:
                taken[place.cell.name] = same[0]
    return taken


def take(
    places: Sequence[Place], found: Mapping[str, Path], console: rich.console.Console
) -> None:
    """Copy runs to the folders of their cells, each whole or not at all.

    Args:
      places: of cells.
      found: run folders by the names of cells, of `alike`.
      console: has a line for each.
    """
    for place in places:
        if place.cell.name in found:
            folder = found[place.cell.name]
            place.take(folder)
            line = f"taken  {place.cell.name}  from {folder}"
            console.print(Text(line), soft_wrap=True)


def _finished(root: Path) -> Iterator[Path]:
    for folder, inner, files in os.walk(root):
        # What is being written has a name that begins with a dot.
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if provenance.FILE in files and cells.LAST in files:
            inner.clear()
            yield Path(folder)


class _Fingerprints:
    """Those of the data that configs ask for as they are now, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    def __call__(self, config: config_dict.ConfigDict) -> str | None:
        """None where the data cannot be read: the run will say so."""
        key = config.to_json_best_effort()
        if key not in self._known:
            with importing_tensorflow():
                from dsl_tf import data
            try:
                self._known[key] = data.load_split(config).fingerprint()
            except UserError:
                self._known[key] = None
        return self._known[key]


def _key(config: Mapping[str, Any], seed: int) -> str:
    values = config_files.effective(config) | {_SEEDS: seed}
    return json.dumps(values, sort_keys=True)
