"""How long the cells of a study will take, and what they will compute."""

import datetime
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dsl_tf.errors import UserError
from dsl_tf.studies.cells import Place, Status
from dsl_tf.studies.plan import Cell

#: Nanoseconds of a multiply-accumulate in training on two cores of a server: medians of
#: runs on MovieLens-1M, of LightGCN on Gowalla, of ConvNCF on the demo. They differ by
#: up to five times between runs of one backbone, and are larger on small data.
_NS_PER_MAC = {
    "neumf": 1.1,
    "convncf": 2.8,
    "cdae": 0.35,
    "multvae": 0.2,
    "lightgcn": 0.24,
}
#: Of those that were not measured: a guess.
_OTHERS_NS_PER_MAC = 1.0

#: Seconds that a run takes beside its training: it starts, evaluates and exports.
_BESIDE = 30.0

#: What makes cells alike, from the most alike on.
_LIKENESS: tuple[Callable[[Cell], tuple[object, ...]], ...] = (
    lambda cell: (cell.file, tuple(sorted(map(str, cell.axes.items())))),
    lambda cell: (cell.file, cell.config.method.name, cell.config.sparsity.target),
    lambda cell: (cell.file, cell.config.method.name),
    lambda cell: (cell.file,),
    lambda cell: (),
)


class Planned(NamedTuple):
    """What a cell will take at most.

    Attributes:
      passes: that the method takes.
      macs: of its training.
      seconds: that this takes, about.
    """

    passes: int
    macs: int
    seconds: float


class Remaining:
    """What is left of a study, by the cells that were measured.

    A cell will take what those took that are the most like it. Nothing is known before
    the first has finished.

    Args:
      places: of all cells.
      jobs: processes at a time.
    """

    def __init__(self, places: Sequence[Place], jobs: int) -> None:
        self._places = places
        self._jobs = jobs
        self._seconds = {
            place.cell.name: _training_seconds(place) + _BESIDE
            for place in places
            if place.status is Status.DONE
        }

    def measured(self, place: Place, seconds: float) -> None:
        """Take in what a cell took, if it went to its end."""
        if place.status is Status.DONE:
            name = place.cell.name
            self._seconds[name] = max(seconds, self._seconds.get(name, 0.0))

    def seconds(self) -> float | None:
        """Left of all cells together; None where nothing is known."""
        left = [p for p in self._places if p.status in (Status.WAITING, Status.BEGUN)]
        each = [self._of(place.cell) for place in left]
        known = [seconds for seconds in each if seconds is not None]
        if len(known) < len(left):
            return None
        return sum(known) / min(self._jobs, max(1, len(left)))

    def text(self) -> str:
        """`seconds`, to be read."""
        left = self.seconds()
        if left is None:
            return "an unknown time"
        return f"about {datetime.timedelta(seconds=round(left))}"

    def _of(self, cell: Cell) -> float | None:
        known = [p.cell for p in self._places if p.cell.name in self._seconds]
        for likeness in _LIKENESS:
            alike = [each for each in known if likeness(each) == likeness(cell)]
            if alike:
                return float(np.mean([self._seconds[each.name] for each in alike]))
        return None


def _training_seconds(place: Place) -> float:
    """Measured seconds of a finished cell's training."""
    return float(_cost(place)["training"]["seconds"])


class Planner:
    """Counts what cells will take, without taking a step.

    Args:
      places: of all cells; those that are done tell how fast the others are.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        measured: dict[str, list[float]] = {}
        for place in places:
            if place.status is Status.DONE:
                training = _cost(place)["training"]
                rate = training["seconds"] / max(1, training["macs"])
                measured.setdefault(place.cell.config.model.name, []).append(rate)
        self._rates = {name: float(np.median(each)) for name, each in measured.items()}

    def plan(self, cell: Cell) -> Planned:
        """What a cell takes, if each of its passes has all of its epochs.

        Raises:
          UserError: the run would be refused: its data, or the method and the
            backbone do not go together.
        """
        # Not at the top: TensorFlow takes seconds.
        import rich.console

        from dsl_tf import data, plugins
        from dsl_tf.methods import base

        config = cell.config
        method = plugins.find("dsl_tf.methods", config.method.name, "method")
        split = data.load_split(config.data)
        with tempfile.TemporaryDirectory() as folder:
            console = rich.console.Console(quiet=True)
            task = base.Task(split, cell.seed, Path(folder), console)
            config = base.settled(task.folder, config, method, split, cell.seed)
            taken = base.planned(task, config, method.train)
        macs = sum(each.cost.macs.total for each in taken if each.cost is not None)
        default = _NS_PER_MAC.get(config.model.name, _OTHERS_NS_PER_MAC) / 1e9
        rate = self._rates.get(config.model.name, default)
        return Planned(len(taken), macs, macs * rate + _BESIDE)

    def plan_or_error(self, cell: Cell) -> Planned | str:
        """The same, with the line that refuses a cell in place of an exception."""
        try:
            return self.plan(cell)
        except UserError as error:
            return str(error)


def _cost(place: Place) -> dict:
    content: dict = json.loads((place.folder / "cost.json").read_text("utf-8"))
    return content
