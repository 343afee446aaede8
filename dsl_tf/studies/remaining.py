"""How long is left of a study that runs."""

import datetime
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dsl_tf.studies.cells import Place, Status
from dsl_tf.studies.estimates import BESIDE
from dsl_tf.studies.grid import Cell

#: What makes cells alike, from the most alike on.
_LIKENESS: tuple[Callable[[Cell], tuple[object, ...]], ...] = (
    lambda cell: (cell.file, tuple(sorted(map(str, cell.axes.items())))),
    lambda cell: (cell.file, cell.config.method.name, cell.config.sparsity.target),
    lambda cell: (cell.file, cell.config.method.name),
    lambda cell: (cell.file,),
    lambda cell: (),
)


class Remaining:
    """What is left of a study, by the cells that were measured and by its plan.

    A cell that differs from measured ones in its seed only takes what those took. Any
    other takes what was planned for it, times what the measured cells that are the
    most like it took of what was planned for them. Without a plan, it takes what they
    took; and where no cell is known, nothing is.

    Args:
      places: of the cells that are to run, or have.
      jobs: processes at a time.
      planned: what is known of the plan at the moment, seconds by the names of cells.
      others: more cells, which are not to run; those that are done tell their time.
    """

    def __init__(
        self,
        places: Sequence[Place],
        jobs: int,
        planned: Callable[[], Mapping[str, float]] = dict,
        others: Sequence[Place] = (),
    ) -> None:
        self._places = places
        self._jobs = jobs
        self._planned = planned
        # They are tried again, once.
        self._again = {p.cell.name for p in places if p.status is Status.FAILED}
        self._begun: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._keys = {
            place.cell.name: [likeness(place.cell) for likeness in _LIKENESS]
            for place in (*places, *others)
        }
        #: Of each likeness: measured cells by their keys.
        self._alike: list[dict[object, list[str]]] = [{} for _ in _LIKENESS]
        for place in (*places, *others):
            if place.status is Status.DONE:
                self._know(place, 0.0)

    def begun(self, place: Place) -> None:
        """A cell runs from now on."""
        self._begun[place.cell.name] = time.monotonic()

    def measured(self, place: Place, seconds: float) -> None:
        """Take in what a cell took, if it went to its end."""
        self._again.discard(place.cell.name)
        self._begun.pop(place.cell.name, None)
        if place.status is Status.DONE:
            self._know(place, seconds)

    def _know(self, place: Place, seconds: float) -> None:
        """A cell is done, after so many seconds of this process."""
        name = place.cell.name
        # It may have been begun, and even finished, by an earlier one.
        self._seconds[name] = max(seconds, _training_seconds(place) + BESIDE)
        for alike, key in zip(self._alike, self._keys[name], strict=True):
            names = alike.setdefault(key, [])
            if name not in names:
                names.append(name)

    def seconds(self) -> float | None:
        """Left of all cells together; None where nothing is known."""
        left = [
            place.cell
            for place in self._places
            if place.status in (Status.WAITING, Status.BEGUN)
            or place.cell.name in self._again
        ]
        if not left:
            return 0.0
        planned = self._planned()
        each = {cell.name: self._of(cell, planned) for cell in left}
        known = [seconds for seconds in each.values() if seconds is not None]
        if not known:
            return None
        # The plan may not have come to all of them yet.
        mean, now = float(np.mean(known)), time.monotonic()
        total = 0.0
        for name, seconds in each.items():
            whole = mean if seconds is None else seconds
            total += max(0.0, whole - (now - self._begun.get(name, now)))
        return total / min(self._jobs, len(left))

    def text(self) -> str:
        """`seconds`, to be read."""
        left = self.seconds()
        if left is None:
            return "an unknown time"
        return f"about {datetime.timedelta(seconds=round(left))}"

    def _of(self, cell: Cell, planned: Mapping[str, float]) -> float | None:
        for place, key in enumerate(self._keys[cell.name]):
            alike = self._alike[place].get(key, [])
            if not alike:
                continue
            if place == 0 or cell.name not in planned:
                return float(np.mean([self._seconds[name] for name in alike]))
            if both := [name for name in alike if name in planned]:
                took = sum(self._seconds[name] for name in both)
                return planned[cell.name] * took / sum(planned[name] for name in both)
        return planned.get(cell.name)


def _training_seconds(place: Place) -> float:
    """Measured seconds of a finished cell's own training."""
    training = place.cost()["training"]
    passes = training.get("passes", ())
    before = sum(each["seconds"] for each in passes if each.get("read_from"))
    return float(training["seconds"] - before)
