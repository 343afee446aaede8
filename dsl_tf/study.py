"""Run a study: a grid of runs declared in a config, and what is to be seen in them.

    python -m dsl_tf.study --config=configs/studies/figure2.py:quick --dry_run
    python -m dsl_tf.study --config=configs/studies/figure2.py:quick
    python -m dsl_tf.study --config=configs/studies/table3.py --only='*-dsl-*'

Each run is a process of its own, in a run folder `cells/<name>` of the study's folder.
The same command again goes on where it stopped: what is done is not done again, what
has failed is tried again. The folder has `results.csv`, tables and figures in
`exhibits/`, and all of it on one page, `index.html`.

The exit code is 0, 1 where cells failed, 2 for a user's mistake, 130 for Ctrl-C.
"""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import rich.console
from absl import flags
from rich.text import Text

from dsl_tf import command_line, environment, locks
from dsl_tf.errors import UserError
from dsl_tf.reports import tables
from dsl_tf.studies import compared, forecast, grid, page, plan, runner, taken
from dsl_tf.studies.cells import Place, Status
from dsl_tf.studies.estimates import Planned, Planner
from dsl_tf.studies.remaining import Remaining
from dsl_tf.tuning import best

#: Seconds between two pages of a study that runs: their figures take a while, beside
#: what is measured.
_PAGE_EVERY = 900.0

#: Cells that one reason is said of by name; the table marks all of them.
_NAMED = 3


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
      argv: the program's name, then the flags.

    Returns:
      The exit code.
    """
    return command_line.exit_code(
        lambda: _main(argv), lambda: "The same command goes on from here."
    )


def _main(argv: Sequence[str]) -> int:
    values = _define()
    rule = "A study needs --config=configs/studies/NAME.py[:SIZE] and takes flags only."
    if not command_line.read(values, argv, f"{__doc__}", rule):
        return 0
    # What is stopped stops its runs, which go on from their checkpoints.
    with environment.sigterm_interrupts():
        return _study(values, rich.console.Console())


def _study(values: flags.FlagValues, console: rich.console.Console) -> int:
    name, study = plan.read(values.config)
    seeds = [_seed(text) for text in values.seeds or []]
    searches = best.read(Path(values.tuned)) if values.tuned else ()
    cells = grid.cells(study, values.set, seeds, searches)
    _say_tuned(searches, cells, console)
    chosen = {cell.name for cell in grid.only(cells, values.only or ["*"])}
    root = Path(values.output_dir or f"studies/{name}")
    places = [Place(root, cell) for cell in cells]
    if others := _seeds_of_runs(root) - {*(seeds or study.seeds)}:
        found = grid.cells(study, values.set, sorted(others), searches)
        known = {cell.name for cell in cells}
        more = [Place(root, cell) for cell in found if cell.name not in known]
        places += [place for place in more if place.status is Status.DONE]
    for place in places:
        place.check()
    page.check(name, study, places)
    todo = [place for place in places if place.cell.name in chosen]
    elsewhere = taken.alike(todo, Path(values.runs)) if values.runs else {}
    if values.dry_run:
        _print_plan(places, todo, elsewhere, values.jobs, console)
        return 0
    comparisons: compared.Known = {}
    written = time.monotonic()

    def finished() -> None:
        nonlocal written
        if time.monotonic() - written < _PAGE_EVERY:
            page.write_results(root, name, places, comparisons)
        else:
            page.write(root, name, study, places, comparisons)
            written = time.monotonic()

    with locks.held(root):
        taken.take(todo, elsewhere, console)
        try:
            order = runner.in_order(todo, values.jobs)
            with forecast.planning(
                values.config, values.set, values.tuned, places, order
            ) as planned:
                more = [p for p in places if p.cell.name not in chosen]
                left = Remaining(todo, values.jobs, planned, more)
                shared = root / "passes" if values.share_passes else None
                runner.run(todo, values.jobs, left, console, finished, shared)
        finally:
            shown = page.write(root, name, study, places, comparisons)
    failed = [place for place in todo if place.status is Status.FAILED]
    for place in failed:
        line = f"failed  {place.cell.name}: {place.error} (log: {place.log})"
        console.print(Text(line, "red"), soft_wrap=True)
    done = sum(place.status is Status.DONE for place in todo)
    console.print(f"{done} of {len(todo)} cells done. Page: {shown}", soft_wrap=True)
    return 1 if failed else 0


def _say_tuned(
    searches: Sequence[best.Best],
    cells: Sequence[grid.Cell],
    console: rich.console.Console,
) -> None:
    """How many cells have which search's values, and which searches serve none."""
    for each in searches:
        served = sum(cell.search == str(each.folder) for cell in cells)
        line = f"{each.folder}: values of {served} of {len(cells)} cells."
        if not served:
            fixed = [f"--config={each.file}"]
            fixed += [f"--config.{key}={value}" for key, value in each.fixed.items()]
            line += f" It was searched with {' '.join(fixed)}."
        console.print(Text(line, "" if served else "yellow"), soft_wrap=True)


def _print_plan(
    places: Sequence[Place],
    todo: Sequence[Place],
    found: Mapping[str, Path],
    jobs: int,
    console: rich.console.Console,
) -> None:
    planner = Planner(places)
    rows: list[list[str]] = []
    left, macs = [], 0
    refused: dict[str, list[str]] = {}
    with console.status("Planning …") as status:
        for number, place in enumerate(todo, 1):
            name = place.cell.name
            status.update(f"Planning {number} of {len(todo)}: {name} …")
            planned = planner.plan_or_error(place.cell)
            row = [name, "in --runs" if name in found else str(place.status)]
            if isinstance(planned, Planned):
                if place.status is not Status.DONE and name not in found:
                    left.append(planned.seconds / 60)
                    macs += planned.macs
                row += [f"{planned.passes}", tables.macs(planned.macs)]
                row += [f"{planned.seconds / 60:,.1f}"]
            else:
                row += ["-", "-", "-"]
                refused.setdefault(planned, []).append(name)
            rows.append(row)
    header = ["cell", "status", "passes", "training", "minutes, about"]
    tables.show(console, header, rows)
    for reason, names in refused.items():
        line = f"{len(names)} of {len(rows)} would fail: {reason} ({_shortened(names)})"
        console.print(Text(line, "yellow"), soft_wrap=True)
    minutes = sum(left) / max(1, min(jobs, len(left)))
    at_once = f" with --jobs={jobs}" if jobs > 1 else ""
    console.print(
        f"{len(rows)} cells; {tables.macs(macs)} and about {minutes:,.0f} minutes are "
        f"left{at_once}, if every pass takes all of its epochs and none is shared.",
        soft_wrap=True,
    )


def _shortened(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _seeds_of_runs(root: Path) -> set[int]:
    """Seeds that a study was run with before."""
    found = (re.search(r"-seed(\d+)$", p.name) for p in root.glob("cells/*-seed*"))
    return {int(each[1]) for each in found if each}


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"`--seeds` must be numbers from 0. Received: {text}.")
    return int(text)


def _define() -> flags.FlagValues:
    """The flags, apart from absl's global ones."""
    values = flags.FlagValues()
    values.set_gnu_getopt()
    where = {"flag_values": values}
    flags.DEFINE_string(
        "config",
        None,
        "FILE[:SIZE], such as configs/studies/figure2.py:quick; the size is full where "
        "none is given.",
        **where,
    )
    flags.DEFINE_string(
        "output_dir", None, "Folder of the study; else studies/NAME-SIZE.", **where
    )
    flags.DEFINE_integer(
        "jobs",
        1,
        "Runs at a time. Times and memory are measured in each; times beside other "
        "runs mean less.",
        lower_bound=1,
        **where,
    )
    flags.DEFINE_list(
        "only", None, "Run the cells that match, such as '*-dsl-*'.", **where
    )
    flags.DEFINE_list(
        "seeds",
        None,
        "Run these in place of the study's: 0,1,2. What was run with others stays on "
        "the page.",
        **where,
    )
    flags.DEFINE_multi_string(
        "set",
        [],
        "KEY=VALUE of every run's config, such as train.epochs=3, where the grid has "
        "no such key; repeatable.",
        **where,
    )
    flags.DEFINE_bool(
        "share_passes",
        True,
        "Train a pass that several cells take alike once, such as the dense one that "
        "is then pruned; its seconds and memory count in each of them.",
        **where,
    )
    flags.DEFINE_string(
        "runs",
        None,
        "Folder with other studies or runs, such as studies: a finished run that has "
        "the config and the seed of a cell, made by the same code, is copied in place "
        "of making it again.",
        **where,
    )
    flags.DEFINE_string(
        "tuned",
        None,
        "Folder of one or more searches of `python -m dsl_tf.tune`: runs have the best "
        "values of the search whose config file, and whose keys on its command line, "
        "are theirs. What the study says itself stays.",
        **where,
    )
    flags.DEFINE_bool(
        "dry_run", False, "Print the plan with estimated costs; run nothing.", **where
    )
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", **where)
    return values


if __name__ == "__main__":
    sys.exit(main(sys.argv))
