"""Passes that are trained, and passes that are read back."""

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import tf_keras as keras
from ml_collections import config_dict
from rich.text import Text

from dsl_tf.accounting import cost, size
from dsl_tf.accounting.macs import TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError
from dsl_tf.methods._models import Start, make_model
from dsl_tf.methods._passes import Passes
from dsl_tf.methods._tasks import SELECT, MakeCompanion, MakeTables, Pass, Plan
from dsl_tf.training import checkpoints
from dsl_tf.training.companions import Companion
from dsl_tf.training.evaluator import Evaluator, selection_metric
from dsl_tf.training.fit import FitSettings, fit
from dsl_tf.training.shared import fingerprint
from dsl_tf.training.state import TrainingState
from dsl_tf.types import RankingResult

T = TypeVar("T")


class Training(Passes):
    """Passes that are trained, from their newest checkpoints on if there are any.

    A first time selects on validation. A refit takes the steps that were best
    then, on the schedules of then.
    """

    _accepted = False

    def one(
        self,
        name: str,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_companion: MakeCompanion | None = None,
        start: Start | None = None,
    ) -> Backbone:
        """See `Passes.one`."""
        # The graphs of a pass and its model hold each other: what the one before had
        # would stay, tables and moments, until Python came round to it.
        gc.collect()
        plan = None if self._chosen is None else self._chosen[name]
        steps, planned = (None, None) if plan is None else (plan.steps, plan.planned)
        settings = FitSettings.of(config.train, steps)
        tables = make_tables(config, self.split, self.seed)
        model, batches = make_model(
            self.split, config, tables, self.seed, planned, start
        )
        if config.model.name == self._config.model.name:
            self._accept(model)
        planned = planned or settings.epochs * batches.steps_per_epoch
        # Both, so that what the test cannot ask is known before training.
        evaluators = [
            Evaluator(model, config, self.split, part)
            for part in ("validation", "test")
        ]
        validates = steps is None and len(self.split.validation)
        companion = (make_companion or _nobody)(config, planned, self.seed)
        folder = self._task.folder / self._place(name)
        alike = make_companion is None and not model.loss_terms
        taking: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if alike:
            taking = self._sharing(model, config, folder, [steps, planned])
        with taking:
            state = fit(
                model,
                batches,
                settings,
                folder,
                self._watched(name, evaluators[0]) if validates else None,
                selection_metric(config.evaluation.cutoffs),
                self._task.console,
                companion,
            )
        taken = cost.of_pass(
            self._place(name), model, state, batches.size, companion, self.held_bytes
        )
        self.taken.append(Pass(self._place(name), state, taken))
        self.plans[name] = Plan(state.best_step, planned)
        return model

    def _look_ahead(
        self,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_companion: MakeCompanion | None,
    ) -> None:
        """See `Passes`; only before the first pass."""
        if self._accepted:
            return
        epochs = FitSettings.of(config.train).epochs
        tables = make_tables(config, self.split, self.seed)
        model, batches = make_model(self.split, config, tables, self.seed)
        self._accept(model)
        if make_companion is not None:
            make_companion(config, epochs * batches.steps_per_epoch, self.seed)

    def solved(self, solve: Callable[[], Backbone], taken: TrainingMacs) -> Backbone:
        """See `Passes.solved`."""
        model, seconds, peak = _measured(solve)
        name = self._place(SELECT)
        held = size.variable_bytes(model.variables) + model.held_bytes
        price = cost.untrained(name, seconds, peak, taken, held)
        self.taken.append(Pass(name, _solved(seconds), price))
        return model

    def made(self, name: str, make: Callable[[], T], taken: TrainingMacs) -> T | None:
        """See `Passes.made`; a resumed run makes it again."""
        value, seconds, peak = _measured(make)
        name = self._place(name)
        state = TrainingState(seconds=seconds, finished=True)
        price = cost.untrained(name, seconds, peak, taken, self.held_bytes)
        self.taken.append(Pass(name, state, price))
        return value

    def _watched(
        self, name: str, validate: Callable[[], RankingResult]
    ) -> Callable[[], RankingResult]:
        def watched() -> RankingResult:
            result = validate()
            if name == SELECT:
                self._task.watch(dict(result.mean))
            return result

        return watched

    @contextlib.contextmanager
    def _sharing(
        self,
        model: Backbone,
        config: config_dict.ConfigDict,
        folder: Path,
        length: list[int | None],
    ) -> Iterator[None]:
        """Within it a pass is taken, or read, that other runs may take alike.

        Args:
          model: before its first step.
          config: of the pass.
          folder: where it goes.
          length: steps, taken and planned.
        """
        shared = self._task.shared
        if shared is None:
            yield
            return

        def tell(what: str) -> None:
            self._task.console.print(f"{folder.name}: {what}", highlight=False)

        key = fingerprint(
            model,
            self.split,
            config,
            seed=self.seed,
            length=length,
            # Of what validation draws: its users, its negatives, its ties.
            data_seed=config.data.seed,
        )
        waits = "another run takes this pass just now; it is waited for."
        with shared.taking(key, folder, lambda: tell(waits)) as read:
            if read:
                tell("another run took this pass; it is read from there.")
            yield

    def _accept(self, model: Backbone) -> None:
        if self._accepted:
            return
        self._accepted = True
        self._task.accept(model)
        for finding in model.findings:
            told = Text.assemble(("Warning:", "yellow"), f" {finding}")
            self._task.console.print(told, soft_wrap=True)


def _measured(make: Callable[[], T]) -> tuple[T, float, int]:
    """What it makes, its seconds, and the most memory of the process."""
    size.reset_peak()
    begun = time.perf_counter()
    value = make()
    seconds = round(time.perf_counter() - begun, 6)
    return value, seconds, size.peak_rss_bytes()


def _solved(seconds: float = 0.0) -> TrainingState:
    """As if of one epoch."""
    row = {"epoch": 1, "step": 0, "loss": math.nan, "seconds": seconds}
    return TrainingState(
        epochs=1, seconds=seconds, best_epoch=1, finished=True, history=[row]
    )


def _nobody(config: config_dict.ConfigDict, planned: int, seed: int) -> Companion:
    del config, planned, seed
    return Companion(keras.callbacks.Callback())


class ReadBack(Passes):
    """Passes whose models are read from where `Training` left them.

    Raises:
      UserError: when a pass is taken that has not finished.
    """

    finished = True

    def one(
        self,
        name: str,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_companion: MakeCompanion | None = None,
        start: Start | None = None,
    ) -> Backbone:
        """See `Passes.one`."""
        folder = self._task.folder / self._place(name)
        saved = checkpoints.read_state(folder)
        if saved is None or not saved["finished"]:
            raise UserError(
                "The run must have finished its training; --resume goes on with "
                f"it. Received: {self._task.folder.parent}."
            )
        state = TrainingState(**saved)
        model = self.untrained(config, make_tables, start)
        best = checkpoints.BestWeights(folder, model.weights)
        best.restore(state.best_epoch)
        self.taken.append(Pass(self._place(name), state))
        return model

    def solved(self, solve: Callable[[], Backbone], taken: TrainingMacs) -> Backbone:
        """See `Passes.solved`; it is solved again."""
        self.taken.append(Pass(self._place(SELECT), _solved()))
        return solve()

    def made(self, name: str, make: Callable[[], T], taken: TrainingMacs) -> T | None:
        """See `Passes.made`."""
        del make, taken
        self.taken.append(Pass(self._place(name), TrainingState(finished=True)))
        return None
