"""What every method shares: one door, `train(task, config)`, and the passes behind."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rich.console
import tensorflow as tf
from ml_collections import config_dict

from dsl_tf import optimizers, plugins
from dsl_tf.accounting.macs import TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.data.pipelines import Batches
from dsl_tf.errors import UserError
from dsl_tf.layers.tables import TableFactory
from dsl_tf.methods import _pretraining
from dsl_tf.training import checkpoints
from dsl_tf.training.evaluator import Evaluator
from dsl_tf.training.fit import FitSettings, fit
from dsl_tf.training.state import TrainingState
from dsl_tf.types import Split, StepSize

#: Names of passes: selected on validation; anew on training and validation.
SELECT, REFIT = "select", "refit"
#: Of all stages of both, where a backbone is pretrained: see `_pretraining`.
STAGES = {SELECT: ("pretrain", SELECT), REFIT: ("pretrain_refit", REFIT)}


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
    accept: Callable[[Backbone], None] = lambda backbone: None


@dataclasses.dataclass(frozen=True)
class Pass:
    """One training pass, for the cost report.

    Attributes:
      name: `SELECT`, `REFIT`, or what the method calls it.
      state: how it ended.
      size: of its steps.
      macs: what it took, where it trained another model than the one handed back.
    """

    name: str
    state: TrainingState
    size: StepSize
    macs: TrainingMacs | None = None


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a method hands back.

    Attributes:
      model: with the weights to test and to export.
      split: what the last pass was trained on.
      passes: every pass over data that the method took, in order.
    """

    model: Backbone
    split: Split
    passes: tuple[Pass, ...]

    @property
    def selection(self) -> TrainingState:
        """How the pass ended that validation selected the model in."""
        return next(each.state for each in self.passes if each.name == SELECT)


#: Makes the tables for a split: what is dense, what is sparse.
MakeTables = Callable[[Split], TableFactory]
#: Makes the callback that moves weights, from the steps planned; or None.
MakeDynamic = Callable[[int], DynamicSparseTraining | None]


def make_model(
    split: Split,
    config: config_dict.ConfigDict,
    tables: TableFactory,
    seed: int,
    steps: int | None = None,
) -> tuple[Backbone, Batches]:
    """A backbone with all its variables, compiled to be trained, and its batches.

    Args:
      split: its training part is trained on.
      config: the whole config.
      tables: dense or sparse.
      seed: of everything random.
      steps: planned, for the schedule of the learning rate; None: the epochs of
        the config.
    """
    model = make_backbone(split, config, tables, seed)
    batches = model.batches(split, config.train, seed)
    optimizer = optimizers.make(
        config.optimizer.name,
        config.train.learning_rate,
        config.train.learning_rate_schedule,
        steps or config.train.epochs * batches.steps_per_epoch,
        config.optimizer.beta_2,
    )
    model.compile(optimizer)
    model.optimizer.build(model.trainable_variables)
    return model, batches


def make_backbone(
    split: Split, config: config_dict.ConfigDict, tables: TableFactory, seed: int
) -> Backbone:
    """A backbone with all its variables, without an optimiser and its moments."""
    backbone = plugins.find("dsl_tf.backbones", config.model.name, "backbone")
    model: Backbone = backbone.build(config.model, split, tables, seed)
    row = tf.zeros([1], tf.int32)
    model({"user": row, "item": row, "negatives": row[:, None]})
    return model


def selection_metric(cutoffs: Sequence[int]) -> str:
    """The validation metric that selects epochs and seeds: the first recall."""
    return f"recall@{cutoffs[0]}"


def train_backbone(
    task: Task,
    config: config_dict.ConfigDict,
    make_tables: MakeTables,
    make_dynamic: MakeDynamic,
) -> Trained:
    """One pass selected on validation; with `train.refit`, a second one.

    The second pass trains anew on training and validation together, for the
    number of steps that validation chose, on the schedule of the first.

    Args:
      task: what to train on.
      config: the whole config.
      make_tables: dense or sparse.
      make_dynamic: the callback that moves weights, if any.
    """
    stages = _pretraining.stages(config)

    def run(
        stage: config_dict.ConfigDict,
        name: str,
        split: Split,
        chosen: tuple[int, int] | None,
        start: list[np.ndarray] | None,
    ) -> tuple[Backbone, Pass, int]:
        steps, planned = chosen or (None, None)
        settings = FitSettings(
            epochs=stage.train.epochs,
            patience=stage.train.patience,
            validate_every=stage.train.validate_every,
            checkpoint_minutes=stage.train.checkpoint_minutes,
            steps=steps,
        )
        model, batches = make_model(
            split, stage, make_tables(split), task.seed, planned
        )
        if stage is config:
            task.accept(model)
            for finding in model.findings:
                task.console.print(
                    f"[yellow]Warning:[/] {finding}", highlight=False, soft_wrap=True
                )
        if start is not None:
            _pretraining.adopt(model, start)
        planned = planned or settings.epochs * batches.steps_per_epoch
        # Both, so that what the test cannot ask is known before training.
        evaluators = [
            Evaluator(model, stage, split, part) for part in ("validation", "test")
        ]
        validates = steps is None and len(split.validation)
        state = fit(
            model,
            batches,
            settings,
            task.folder / name,
            evaluators[0] if validates else None,
            selection_metric(config.evaluation.cutoffs),
            task.console,
            make_dynamic(planned),
        )
        taken = None
        if stage is not config:
            taken = _pretraining.training_macs(model, state, batches.size)
        return model, Pass(name, state, batches.size, taken), planned

    def run_all(
        kind: str, split: Split, chosen: Sequence[tuple[int, int] | None]
    ) -> tuple[Backbone, list[Pass], list[tuple[int, int] | None]]:
        passes: list[Pass] = []
        plans: list[tuple[int, int] | None] = []
        start = None
        names = STAGES[kind][-len(stages) :]
        for stage, name, plan in zip(stages, names, chosen, strict=True):
            model, done, planned = run(stage, name, split, plan, start)
            if stage is not config:
                start = _pretraining.tables(model)
                del model  # two at a time would double the memory
            passes.append(done)
            plans.append((done.state.best_step, planned))
        return model, passes, plans

    model, passes, plans = run_all(SELECT, task.split, [None] * len(stages))
    if not config.train.refit:
        return Trained(model, task.split, tuple(passes))
    del model
    everything = task.split.with_validation()
    model, again, _ = run_all(REFIT, everything, plans)
    return Trained(model, everything, (*passes, *again))


def restore(
    task: Task,
    config: config_dict.ConfigDict,
    make_tables: Callable[[config_dict.ConfigDict, Split, int], TableFactory],
) -> Trained:
    """What `train` handed back, read from the task's folder.

    Raises:
      UserError: the run has not finished its training.
    """
    splits = {SELECT: task.split}
    if config.train.refit:
        splits[REFIT] = task.split.with_validation()
    stages = _pretraining.stages(config)
    passes = []
    for kind, split in splits.items():
        for stage, name in zip(stages, STAGES[kind][-len(stages) :], strict=True):
            state = checkpoints.read_state(task.folder / name)
            if state is None or not state["finished"]:
                raise UserError(
                    "The run must have finished its training; --resume goes on with "
                    f"it. Received: {task.folder.parent}."
                )
            tables = make_tables(stage, split, task.seed)
            model = make_backbone(split, stage, tables, task.seed)
            size = model.batches(split, stage.train, task.seed).size
            done = Pass(name, TrainingState(**state), size)
            best = checkpoints.BestWeights(task.folder / name, model.weights)
            if stage is not config:
                best.restore(done.state.best_epoch)
                optimizer = optimizers.make(
                    stage.optimizer.name, stage.train.learning_rate
                )
                model.compile(optimizer)  # without moments: nothing is trained
                taken = _pretraining.training_macs(model, done.state, size)
                done = dataclasses.replace(done, macs=taken)
            passes.append(done)
    best.restore(passes[-1].state.best_epoch)
    return Trained(model, split, tuple(passes))
