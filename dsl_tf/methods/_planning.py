"""Passes that are counted and never taken: what a run would cost."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ml_collections import config_dict

from dsl_tf.accounting import cost
from dsl_tf.accounting.macs import NO_MACS, TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.methods._models import Start, make_model
from dsl_tf.methods._passes import Passes
from dsl_tf.methods._tasks import SELECT, MakeCompanion, MakeTables, Metrics, Pass
from dsl_tf.training.evaluator import selection_metric
from dsl_tf.training.fit import FitSettings
from dsl_tf.training.state import TrainingState

T = TypeVar("T")


class Counted(Exception):  # noqa: N818, it is no error
    """A method has no pass left that would have to be taken to go on."""


class Planning(Passes):
    """The passes of a method, each with its model before training.

    Passes have all the epochs that the config allows, tables the densities that they
    begin with, and what a method finds out on validation is the first it would try.
    """

    def one(
        self,
        name: str,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_companion: MakeCompanion | None = None,
        start: Start | None = None,
    ) -> Backbone:
        """See `Passes.one`."""
        epochs = FitSettings.of(config.train).epochs
        tables = make_tables(config, self.split, self.seed)
        model, batches = make_model(self.split, config, tables, self.seed, None, start)
        steps = epochs * batches.steps_per_epoch
        if make_companion is not None:  # what it adds depends on how it goes
            make_companion(config, steps, self.seed)  # but not what it refuses
        row = {"epoch": epochs, "step": steps}
        state = TrainingState(
            epochs, best_epoch=epochs, best_step=steps, finished=True, history=[row]
        )
        taken = cost.of_pass(
            self._place(name), model, state, batches.size, held_bytes=self.held_bytes
        )
        self.taken.append(Pass(self._place(name), state, taken))
        return model

    def solved(self, solve: Callable[[], Backbone], taken: TrainingMacs) -> Backbone:
        """Count it; see `Passes.solved`.

        Raises:
          Counted: always. No method has a pass after it.
        """
        del solve
        price = cost.untrained(SELECT, 0.0, 0, taken)
        self.taken.append(Pass(SELECT, TrainingState(finished=True), price))
        raise Counted

    def made(self, name: str, make: Callable[[], T], taken: TrainingMacs) -> T | None:
        """Count it; see `Passes.made`."""
        del make
        price = cost.untrained(name, 0.0, 0, taken, self.held_bytes)
        self.taken.append(Pass(self._place(name), TrainingState(finished=True), price))
        return None

    def warn(self, text: str) -> None:
        """Nothing: no pass was taken that could have gone wrong."""

    def validation(self, model: Backbone, config: config_dict.ConfigDict) -> Metrics:
        """Nothing is as good as anything else."""
        del model
        return {selection_metric(config.evaluation.cutoffs): 0.0}

    def best_of(
        self,
        name: str,
        tried: Sequence[Sequence[float]],
        make: Callable[..., Backbone],
        config: config_dict.ConfigDict,
        each: TrainingMacs = NO_MACS,
    ) -> Sequence[float]:
        """The first; see `Passes.best_of`."""
        del make, config
        all_of_them = TrainingMacs(*(len(tried) * part for part in each))
        return self.choose(name, lambda: list(tried[0]), all_of_them)

    def report_validation(
        self, model: Backbone, config: config_dict.ConfigDict
    ) -> None:
        """Nothing is measured."""
