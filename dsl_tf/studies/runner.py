"""Runs the cells of a study, each in a process of its own."""

import concurrent.futures
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import rich.console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from dsl_tf import children, locks
from dsl_tf.studies import instructions
from dsl_tf.studies.cells import Place, Status
from dsl_tf.studies.remaining import Remaining

#: How often running cells are looked at, in seconds.
_EVERY = 0.5
#: How often the time left is: the plan of the cells comes in bit by bit.
_COUNT_EVERY = 5.0
#: Seconds to wait for a cell's process whose study was killed: it is ending too.
_PATIENCE = children.PATIENCE + 5.0


def run(
    places: Sequence[Place],
    jobs: int,
    remaining: Remaining,
    console: rich.console.Console,
    finished: Callable[[], None],
    shared_passes: Path | None = None,
) -> None:
    """Run the cells that are not done, one after the other or some at a time.

    A cell that was begun goes on from its checkpoint; one that failed is tried again.
    One that fails now is kept with its log, and the others go on.

    Args:
      places: of the cells.
      jobs: processes at a time. Seconds measured beside others mean less.
      remaining: of the cells; knows what is left of them.
      console: where progress goes.
      finished: is called after each cell, from one thread at a time.
      shared_passes: folder of passes that several cells take alike; None: each takes
        all of its own.

    Raises:
      KeyboardInterrupt: after the cells that ran have written their checkpoints.
    """
    todo = in_order(places, jobs)
    stop = threading.Event()
    lock = threading.Lock()
    with _Display(places, remaining, console) as display:

        def one(place: Place) -> None:
            if stop.is_set():
                return
            begun = time.monotonic()
            with display.running(place):
                logged = place.begin()
                exit_code = _process(place, stop, shared_passes)
            if stop.is_set():
                return
            with lock:
                if exit_code:
                    place.fail(exit_code, logged)
                display.done(place, time.monotonic() - begun)
                finished()

        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            list(pool.map(one, todo))
        except BaseException:
            stop.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def in_order(places: Sequence[Place], jobs: int) -> list[Place]:
    """Those that are not done, in the order in which they run.

    With several jobs one of each config file, then another of each, and so on: cells of
    one file take passes alike, such as the rounds of a ticket, and one of two at a time
    would wait for what the other takes.
    """
    places = [place for place in places if place.status is not Status.DONE]
    if jobs == 1:
        return places
    files: dict[str, list[Place]] = {}
    for place in places:
        files.setdefault(place.cell.file, []).append(place)
    turns = itertools.zip_longest(*files.values())
    return [place for turn in turns for place in turn if place is not None]


def _process(place: Place, stop: threading.Event, shared_passes: Path | None) -> int:
    """One run, to its end or until `stop`; its exit code."""
    locks.wait(place.folder, _PATIENCE)
    arguments = [*place.cell.arguments, f"--output_dir={place.folder}", "--resume"]
    if shared_passes is not None:
        arguments.append(f"--shared_passes={shared_passes}")
    with (
        place.log.open("ab") as log,
        children.started("dsl_tf.main", arguments, log) as process,
        instructions.counting(process.pid, place.counts),
    ):
        while process.poll() is None:
            if stop.wait(_EVERY):
                children.end(process)
        return process.returncode


class _Display:
    """One bar for all cells, with a line for each that runs.

    Where there is no terminal, a line is printed when a cell begins and ends.
    """

    def __init__(
        self,
        places: Sequence[Place],
        remaining: Remaining,
        console: rich.console.Console,
    ) -> None:
        self._places = places
        self._remaining = remaining
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "_Display":
        self._progress.start()
        self._all = self._progress.add_task("cells", total=len(self._places), said="")
        self._count()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    @contextlib.contextmanager
    def running(self, place: Place) -> Iterator[None]:
        name = place.cell.name
        again = place.status is not Status.WAITING
        self._print(f"{'again' if again else 'begun'}  {name}")
        self._remaining.begun(place)
        line = self._progress.add_task(f"  {name}", total=None, said="")
        watched = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(place, line, watched))
        watcher.start()
        try:
            yield
        finally:
            watched.set()
            watcher.join()
            self._progress.remove_task(line)

    def done(self, place: Place, seconds: float) -> None:
        self._remaining.measured(place, seconds)
        status = place.status
        why = f": {place.error}" if place.error else ""
        left = f", {self._remaining.text()} left"
        color = "red" if status is Status.FAILED else "green"
        self._print(
            f"{status:6} {place.cell.name}  {seconds:,.0f} s{why}"
            f"  ({self._counts()}{left})",
            color,
        )
        self._count()

    def _watch(self, place: Place, line: TaskID, watched: threading.Event) -> None:
        counted = time.monotonic()
        while not watched.wait(_EVERY):
            if not self._console.is_terminal:
                continue  # nobody sees it, and it takes time beside what is measured
            self._progress.update(line, said=_last_line(place))
            if time.monotonic() - counted > _COUNT_EVERY:
                counted = time.monotonic()
                self._count()

    def _count(self) -> None:
        done = sum(place.status is Status.DONE for place in self._places)
        left = f"{self._remaining.text()} left"
        self._progress.update(self._all, completed=done, said=left)

    def _counts(self) -> str:
        each = [place.status for place in self._places]
        failed = each.count(Status.FAILED)
        more = f", {failed} failed" if failed else ""
        return f"{each.count(Status.DONE)} of {len(each)} done{more}"

    def _print(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style), soft_wrap=True)


def _last_line(place: Place) -> str:
    """What the run said last, cut to fit beside a bar."""
    try:
        with place.log.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - 2000))
            lines = log.read().decode("utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:70] if said else ""
