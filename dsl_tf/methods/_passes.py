"""The passes over data that a method takes: trained, or read back."""

import abc
import dataclasses
from collections.abc import Callable
from pathlib import Path

import rich.console
from ml_collections import config_dict

from dsl_tf.accounting import macs
from dsl_tf.accounting.macs import TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.errors import UserError
from dsl_tf.layers.tables import TableFactory
from dsl_tf.methods import _pretraining
from dsl_tf.methods._models import make_backbone, make_model
from dsl_tf.training import checkpoints
from dsl_tf.training.evaluator import Evaluator, selection_metric
from dsl_tf.training.fit import FitSettings, fit
from dsl_tf.training.state import TrainingState
from dsl_tf.types import Split, StepSize

#: Names of passes: selected on validation; anew on training and validation.
SELECT, REFIT = "select", "refit"

#: Makes the tables of a config for a split, from a seed: what is dense or sparse.
MakeTables = Callable[[config_dict.ConfigDict, Split, int], TableFactory]
#: Makes what moves weights, from a config, the steps planned and a seed; or None.
MakeDynamic = Callable[[config_dict.ConfigDict, int, int], DynamicSparseTraining]
#: Gives a new model other weights than its initial ones.
Start = Callable[[Backbone], None]


@dataclasses.dataclass(frozen=True)
class Task:
    """What a method works on.

    Attributes:
      split: training and validation are read, test is not.
      seed: of everything random in this run.
      folder: where checkpoints go.
      console: where progress goes.
      accept: raises a `UserError` before a backbone is trained for which the run
        has no use.
    """

    split: Split
    seed: int
    folder: Path
    console: rich.console.Console
    accept: Start = lambda backbone: None


@dataclasses.dataclass(frozen=True)
class Pass:
    """One training pass, for the cost report.

    Attributes:
      name: `SELECT`, `REFIT`, or what the method calls it.
      state: how it ended.
      size: of its steps.
      macs: what it took; None where the pass was read back.
    """

    name: str
    state: TrainingState
    size: StepSize
    macs: TrainingMacs | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long a pass was, for the same pass of a refit.

    Attributes:
      steps: to its best epoch.
      planned: of its schedules.
    """

    steps: int
    planned: int


class Passes(abc.ABC):
    """One time through all the passes of a method, on one split.

    Args:
      task: where checkpoints and progress go.
      config: the whole config.
      split: its training part is trained on, its validation part selects.
      plans: of the passes that were selected before, by name, if this is a refit.

    Attributes:
      split: as given.
      seed: of everything random.
      taken: the passes so far.
      plans: of this time's passes, for the next.
    """

    def __init__(
        self,
        task: Task,
        config: config_dict.ConfigDict,
        split: Split,
        plans: dict[str, Plan] | None = None,
    ) -> None:
        self._task = task
        self._config = config
        self._chosen = plans
        self.split = split
        self.seed = task.seed
        self.taken: list[Pass] = []
        self.plans: dict[str, Plan] = {}

    def backbone(
        self,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_dynamic: MakeDynamic | None = None,
        start: Start | None = None,
        name: str = SELECT,
    ) -> Backbone:
        """A backbone after its training, and after its pretraining if it wants one.

        Args:
          config: the whole config.
          make_tables: of both.
          make_dynamic: of both.
          start: for weights other than the initial or the pretrained ones.
          name: of the pass, `SELECT` for the one whose model is tested.

        Returns:
          With the weights of its best epoch.
        """
        first = _pretraining.config_of(config)
        if first is not None and start is None:
            before = "pretrain" if name == SELECT else f"{name}_pretrain"
            model = self._take(before, first, make_tables, make_dynamic, None)
            tables = _pretraining.tables(model)
            del model  # two at a time would double the memory

            def start(new: Backbone) -> None:
                _pretraining.adopt(new, tables)

        return self._take(name, config, make_tables, make_dynamic, start)

    @abc.abstractmethod
    def _take(
        self,
        name: str,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_dynamic: MakeDynamic | None,
        start: Start | None,
    ) -> Backbone:
        """One pass; see `backbone`."""

    def _place(self, name: str) -> str:
        """What the pass is called in files and in the cost report."""
        if self._chosen is None:
            return name
        return REFIT if name == SELECT else f"{name}_{REFIT}"


class Training(Passes):
    """Passes that are trained, from their newest checkpoints on if there are any.

    A first time selects on validation. A refit takes the steps that were best
    then, on the schedules of then.
    """

    def _take(
        self,
        name: str,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_dynamic: MakeDynamic | None,
        start: Start | None,
    ) -> Backbone:
        plan = None if self._chosen is None else self._chosen[name]
        steps, planned = (None, None) if plan is None else (plan.steps, plan.planned)
        settings = FitSettings(
            epochs=config.train.epochs,
            patience=config.train.patience,
            validate_every=config.train.validate_every,
            checkpoint_minutes=config.train.checkpoint_minutes,
            steps=steps,
        )
        tables = make_tables(config, self.split, self.seed)
        model, batches = make_model(self.split, config, tables, self.seed, planned)
        if config is self._config:
            self._accept(model)
        if start is not None:
            start(model)
        planned = planned or settings.epochs * batches.steps_per_epoch
        # Both, so that what the test cannot ask is known before training.
        evaluators = [
            Evaluator(model, config, self.split, part)
            for part in ("validation", "test")
        ]
        validates = steps is None and len(self.split.validation)
        state = fit(
            model,
            batches,
            settings,
            self._task.folder / self._place(name),
            evaluators[0] if validates else None,
            selection_metric(config.evaluation.cutoffs),
            self._task.console,
            None if make_dynamic is None else make_dynamic(config, planned, self.seed),
        )
        taken = macs.of_pass(model, state.history[-1]["step"], batches.size)
        self.taken.append(Pass(self._place(name), state, batches.size, taken))
        self.plans[name] = Plan(state.best_step, planned)
        return model

    def _accept(self, model: Backbone) -> None:
        if self.taken:
            return
        self._task.accept(model)
        for finding in model.findings:
            self._task.console.print(
                f"[yellow]Warning:[/] {finding}", highlight=False, soft_wrap=True
            )


class ReadBack(Passes):
    """Passes whose models are read from where `Training` left them.

    Raises:
      UserError: when a pass is taken that has not finished.
    """

    def _take(
        self,
        name: str,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_dynamic: MakeDynamic | None,
        start: Start | None,
    ) -> Backbone:
        folder = self._task.folder / self._place(name)
        saved = checkpoints.read_state(folder)
        if saved is None or not saved["finished"]:
            raise UserError(
                "The run must have finished its training; --resume goes on with "
                f"it. Received: {self._task.folder.parent}."
            )
        state = TrainingState(**saved)
        tables = make_tables(config, self.split, self.seed)
        model = make_backbone(self.split, config, tables, self.seed)
        size = model.batches(self.split, config.train, self.seed).size
        best = checkpoints.BestWeights(folder, model.weights)
        best.restore(state.best_epoch)
        self.taken.append(Pass(self._place(name), state, size))
        return model
