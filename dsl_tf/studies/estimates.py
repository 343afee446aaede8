"""How long the cells of a study will take, and what they will compute."""

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from ml_collections import config_dict

from dsl_tf.command_line import importing_tensorflow
from dsl_tf.errors import UserError
from dsl_tf.studies.cells import Place, Status
from dsl_tf.studies.grid import Cell
from dsl_tf.types import Split

#: Nanoseconds of a multiply-accumulate in training on two cores of a server, validation
#: included: of dense rows on MovieLens-1M, of ConvNCF on MovieLens-100K, of LightGCN on
#: Yelp2018 and UltraGCN on Gowalla. On small data it is several times as many.
_NS_PER_MAC = {
    "mf": 0.18,
    "neumf": 0.5,
    "convncf": 0.09,
    "cdae": 0.12,
    "multvae": 0.07,
    "lightgcn": 0.25,
    "ultragcn": 0.3,
}
#: Of a backbone that was not measured: a guess.
_OTHERS_NS_PER_MAC = 1.0
#: Of what is solved without a step: EASE on MovieLens-1M, beside other work.
_SOLVED_NS_PER_MAC = 0.1

#: Data sets that are held: cells of some may take turns, and all would be much memory.
_SPLITS_AT_ONCE = 4

#: Seconds that a run takes beside its training: it starts, evaluates and exports.
BESIDE = 30.0


class Planned(NamedTuple):
    """What a cell will take at most.

    Attributes:
      passes: that the method takes.
      macs: of its training, without what other runs took before.
      seconds: that this takes, about.
    """

    passes: int
    macs: int
    seconds: float


class Planner:
    """Counts what cells will take, without taking a step.

    A step takes as long as its multiply-accumulates, or as those of the dense step that
    it is the sparse form of: what a sparse step saves of small tables is lost to
    overhead.

    Args:
      places: of all cells; those that are done tell how fast the others are.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._done = [place for place in places if place.status is Status.DONE]
        self._known: dict[str, Planned | str] = {}
        self._steps: dict[str, list[float]] = {}
        self._splits: dict[str, Split | UserError] = {}
        self._rests: dict[str, dict[tuple[str, ...], int]] = {}

    def plan(self, cell: Cell) -> Planned:
        """What a cell takes, if each of its passes has all of its epochs.

        Raises:
          UserError: the run would be refused: its data, or the method and the
            backbone do not go together.
        """
        taken = self._passes(cell.config, cell.seed)
        trained = self._work(cell, taken) * self._rate(cell.config.model.name)
        solved = sum(macs for steps, macs in taken if not steps) * _SOLVED_NS_PER_MAC
        macs = sum(each for _, each in taken)
        return Planned(len(taken), macs, trained + solved / 1e9 + BESIDE)

    def _rate(self, name: str) -> float:
        """Seconds of a multiply-accumulate of a backbone's `_work`."""
        rates = []
        for place in self._done:
            if place.cell.config.model.name == name:
                # A run may be older than this account.
                passes = place.cost()["training"].get("passes", ())
                passes = [p for p in passes if p["steps"] and not p.get("read_from")]
                taken = [(each["steps"], each["macs"]) for each in passes]
                seconds = sum(each["seconds"] for each in passes)
                with contextlib.suppress(UserError):  # its data are not there any more
                    if work := self._work(place.cell, taken):
                        rates.append(seconds / work)
        if rates:
            return float(np.median(rates))
        return _NS_PER_MAC.get(name, _OTHERS_NS_PER_MAC) / 1e9

    def _work(self, cell: Cell, passes: Sequence[tuple[int, int]]) -> float:
        """Multiply-accumulates that steps take as long as.

        Args:
          cell: whose they are.
          passes: steps and multiply-accumulates of each; those without a step do not
            count.
        """
        dense = cell.config.copy_and_resolve_references()
        dense.method.name = "dense"
        dense.budget.bytes = 0
        nodes = (dense.data, dense.model, dense.train, dense.optimizer)
        key = " ".join(node.to_json_best_effort() for node in nodes)
        if key not in self._steps:
            taken = self._passes(dense, 0)
            self._steps[key] = [macs / steps for steps, macs in taken if steps]

        def as_long_as(steps: int, macs: int) -> float:
            # A pretraining of matrix factorisation is not one of a deep network.
            dense_steps = [each * steps for each in self._steps[key]]
            return min((each for each in dense_steps if each >= macs), default=macs)

        return sum(as_long_as(steps, macs) for steps, macs in passes if steps)

    def _passes(
        self, config: config_dict.ConfigDict, seed: int
    ) -> list[tuple[int, int]]:
        """Steps and multiply-accumulates of each pass that a config asks for."""
        import rich.console

        with importing_tensorflow():
            from dsl_tf import data, plugins
            from dsl_tf.methods import base

        method = plugins.find("dsl_tf.methods", config.method.name, "method")
        wanted = config.data.to_json_best_effort()
        if wanted not in self._splits:
            while len(self._splits) >= _SPLITS_AT_ONCE:
                del self._splits[next(iter(self._splits))]
            try:
                self._splits[wanted] = data.load_split(config.data)
            except UserError as error:
                self._splits[wanted] = error
        split = self._splits[wanted]
        if isinstance(split, UserError):
            raise split
        with tempfile.TemporaryDirectory() as folder:
            console = rich.console.Console(quiet=True)
            task = base.Task(split, seed, Path(folder), console)
            rests = self._rests.setdefault(_rest(config, method), {})
            config = base.settled(task.folder, config, method, split, seed, rests)
            taken = base.planned(task, config, method.train)
        costs = [each.cost for each in taken if each.cost is not None]
        return [(each.steps, each.macs.total) for each in costs]

    def plan_or_error(self, cell: Cell) -> Planned | str:
        """The same, with the line that refuses a cell in place of an exception.

        Cells that differ in their seeds only take the same.
        """
        same = cell.config.copy_and_resolve_references()
        same.seeds = (0,)
        key = same.to_json_best_effort()
        if key not in self._known:
            try:
                self._known[key] = self.plan(cell)
            except UserError as error:
                self._known[key] = str(error)
        return self._known[key]


def _rest(config: config_dict.ConfigDict, method: ModuleType) -> str:
    """What the rest of a file depends on, beside the coding of its tables.

    A method that rounds in training makes tables of its own kind.
    """
    parts = [config.data, config.export]
    if hasattr(method, "rounding"):
        parts.append(config.method)
    return " ".join([config.model.name, *(p.to_json_best_effort() for p in parts)])
