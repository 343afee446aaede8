"""Finished runs of other studies that are a cell's too: they are not made again."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.console
from rich.text import Text

from dsl_tf import provenance
from dsl_tf.errors import UserError
from dsl_tf.studies import cells
from dsl_tf.studies.cells import Place, Status

#: Keys in which a run of one seed and one of several may differ.
_SEEDS = "seeds"


def alike(places: Sequence[Place], root: Path) -> dict[str, Path]:
    """Runs that are those of cells which have not been begun.

    Alike are runs of the same config, but for settings of other methods, and the same
    seed, that the same versions of packages made, and the same commit of this one.

    Args:
      places: of the cells.
      root: a folder with runs at any depth, such as `studies`.

    Returns:
      Folders of finished runs by the names of cells.

    Raises:
      UserError: `root` has no finished run.
    """
    made_now = provenance.versions(), provenance.git_commit()
    finished = list(_finished(root))
    if not finished:
        raise UserError(
            f"`--runs` must be a folder with finished runs. Received: {root}."
        )
    found: dict[str, Path] = {}
    for folder in finished:
        recorded = json.loads((folder / cells.FIRST).read_text("utf-8"))
        if (recorded.get("versions"), recorded.get("git_commit")) == made_now:
            found.setdefault(_key(recorded["config"], recorded["seed"]), folder)
    waiting = [place for place in places if place.status is Status.WAITING]
    keys = {p.cell.name: _key(p.cell.settings(), p.cell.seed) for p in waiting}
    return {name: found[key] for name, key in keys.items() if key in found}


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
        if cells.FIRST in files and cells.LAST in files:
            inner.clear()
            yield Path(folder)


def _key(config: Mapping[str, Any], seed: int) -> str:
    values = cells.effective(config) | {_SEEDS: seed}
    return json.dumps(values, sort_keys=True)
