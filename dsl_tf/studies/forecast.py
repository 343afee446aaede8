"""Plans the cells of a study beside them, so that the time left is known early."""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from dsl_tf import children
from dsl_tf.files import write_json
from dsl_tf.studies import grid, plan
from dsl_tf.studies.cells import Place, Status
from dsl_tf.studies.estimates import BESIDE, Planned, Planner
from dsl_tf.tuning import best

#: What is planned so far: seconds by the names of cells.
Seconds = Callable[[], Mapping[str, float]]


@contextlib.contextmanager
def planning(
    config: str,
    settings: Sequence[str],
    tuned: str | None,
    places: Sequence[Place],
    todo: Sequence[Place],
) -> Iterator[Seconds]:
    """Within it a process of lowest priority plans the cells.

    Not this process, which has no use for TensorFlow otherwise. Those that are done are
    planned last: how long they took of it tells how long the others will.

    Args:
      config: `FILE[:SIZE]` of the study.
      settings: `KEY=VALUE` of every cell.
      tuned: the folder of searches, if any.
      places: of all cells.
      todo: of those that are to run, in their order.
    """
    names = [place.cell.name for place in todo if place.status is not Status.DONE]
    if len(names) < 2:  # a run tells its own time
        yield dict
        return
    done = [place.cell.name for place in places if place.status is Status.DONE]
    wanted = {
        "config": config,
        "settings": list(settings),
        "seeds": sorted({place.cell.seed for place in places}),
        "tuned": tuned,
        "root": str(places[0].root),
        "cells": names + done,
    }
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as lines:
        # Not on the command line, which has room for some hundreds of cells.
        asked = Path(folder) / "cells.json"
        write_json(asked, wanted)
        with children.started(__name__, [str(asked)], lines):
            yield lambda: _read(lines)


def _read(lines: IO[bytes]) -> dict[str, float]:
    """Seconds by cell, of the whole lines that are there; others are TensorFlow's."""
    found: dict[str, float] = {}
    # Not `seek`: the process writes at the place that it would move.
    content = os.pread(lines.fileno(), os.fstat(lines.fileno()).st_size, 0)
    for line in content.split(b"\n")[:-1]:
        with contextlib.suppress(ValueError, TypeError):
            name, seconds = json.loads(line)
            found[name] = seconds
    return found


def main(argv: Sequence[str]) -> int:
    """Print `[cell, seconds]`, a line a cell, in the order in which they run.

    Args:
      argv: the name, and a file that has what `planning` wants as JSON.
    """
    _give_way()
    wanted = json.loads(Path(argv[1]).read_text("utf-8"))
    _, study = plan.read(wanted["config"])
    searches = best.read(Path(wanted["tuned"])) if wanted["tuned"] else ()
    cells = grid.cells(study, wanted["settings"], wanted["seeds"], searches)
    planner = Planner([Place(Path(wanted["root"]), cell) for cell in cells])
    found = {cell.name: cell for cell in cells}
    for name in wanted["cells"]:
        planned = planner.plan_or_error(found[name])
        # One that is refused starts, and says so.
        seconds = planned.seconds if isinstance(planned, Planned) else BESIDE
        print(json.dumps([name, seconds]), flush=True)
    return 0


def _give_way() -> None:
    os.nice(19)
    # Linux shares processors out by session first: there the former is a priority among
    # the processes of this one's own, which has no others.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
