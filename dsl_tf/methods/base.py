"""What every method shares: one door, `train(task, config)`, and the passes behind."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rich.console
import tensorflow as tf
from ml_collections import config_dict

from dsl_tf import optimizers, plugins
from dsl_tf.backbones.base import Backbone, Prepared
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.data.pipelines import Batches
from dsl_tf.errors import UserError
from dsl_tf.evaluation import protocols
from dsl_tf.layers.tables import TableFactory
from dsl_tf.training import checkpoints
from dsl_tf.training.fit import FitSettings, fit
from dsl_tf.training.state import TrainingState
from dsl_tf.types import Interactions, RankingResult, Split, StepSize

#: Names of passes: selected on validation; anew on training and validation.
SELECT, REFIT = "select", "refit"


@dataclasses.dataclass(frozen=True)
class Task:
    """What a method works on.

    Attributes:
      split: training and validation are read, test is not.
      seed: of everything random in this run.
      folder: where checkpoints go.
      console: where progress goes.
    """

    split: Split
    seed: int
    folder: Path
    console: rich.console.Console


@dataclasses.dataclass(frozen=True)
class Pass:
    """One training pass, for the cost report.

    Attributes:
      name: `SELECT`, `REFIT`, or what the method calls it.
      state: how it ended.
      size: of its steps.
    """

    name: str
    state: TrainingState
    size: StepSize


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


class Scorer:
    """A model's `score` as a graph, traced once for all batches and epochs.

    Args:
      model: the model, which may be trained on between two evaluations.
    """

    def __init__(self, model: Backbone) -> None:
        self._model = model

        # Arguments, not captured: they change from one evaluation to the next.
        @tf.function(reduce_retracing=True)
        def score(users: tf.Tensor, items: tf.Tensor, prepared: Prepared) -> tf.Tensor:
            return model.score({"user_id": users}, items, prepared)

        self._score = score

    def now(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Scores by the weights of this moment, int32 [B] to [B, num_items].

        What all users share is made here, once for all batches.
        """
        prepared = self._model.prepared()
        items = self._model.item_vectors(None, prepared)
        return lambda users: self._score(users, items, prepared)


def evaluate(
    scorer: Scorer, config: config_dict.ConfigDict, split: Split, part: protocols.Part
) -> RankingResult:
    """Evaluate `part` of a split by the protocol that the config has for it."""
    name = config.evaluation.protocol
    if part == "validation":
        name = config.evaluation.validation_protocol or name
    protocol = protocols.find(name)
    cutoffs = tuple(config.evaluation.cutoffs)
    return protocol.evaluate(scorer.now(), split, part, cutoffs, seed=config.data.seed)


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
    settings = FitSettings(
        epochs=config.train.epochs,
        patience=config.train.patience,
        validate_every=config.train.validate_every,
        checkpoint_minutes=config.train.checkpoint_minutes,
    )

    def run(
        name: str, split: Split, steps: int | None, planned: int | None
    ) -> tuple[Backbone, Pass, int]:
        model, batches = make_model(
            split, config, make_tables(split), task.seed, planned
        )
        planned = planned or settings.epochs * batches.steps_per_epoch
        validate = None
        if steps is None and len(split.validation):
            validate = functools.partial(
                evaluate, Scorer(model), config, split, "validation"
            )
        state = fit(
            model,
            batches,
            dataclasses.replace(settings, steps=steps),
            task.folder / name,
            validate,
            selection_metric(config.evaluation.cutoffs),
            task.console,
            make_dynamic(planned),
        )
        return model, Pass(name, state, batches.size), planned

    model, select, planned = run(SELECT, task.split, None, None)
    if not config.train.refit:
        return Trained(model, task.split, (select,))
    del model  # two at a time would double the memory
    everything = with_validation(task.split)
    model, refit, _ = run(REFIT, everything, select.state.best_step, planned)
    return Trained(model, everything, (select, refit))


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
        splits[REFIT] = with_validation(task.split)
    passes = []
    for name, split in splits.items():
        state = checkpoints.read_state(task.folder / name)
        if state is None or not state["finished"]:
            raise UserError(
                "The run must have finished its training; --resume goes on with it. "
                f"Received: {task.folder.parent}."
            )
        tables = make_tables(config, split, task.seed)
        model = make_backbone(split, config, tables, task.seed)
        size = model.batches(split, config.train, task.seed).size
        passes.append(Pass(name, TrainingState(**state), size))
    best = checkpoints.BestWeights(task.folder / name, model.weights)
    best.restore(passes[-1].state.best_epoch)
    return Trained(model, split, tuple(passes))


def with_validation(split: Split) -> Split:
    """The split whose training part holds the validation part too."""
    users = np.concatenate([split.train.users, split.validation.users])
    items = np.concatenate([split.train.items, split.validation.items])
    order = np.lexsort((items, users))
    nothing = split.validation.take(np.zeros(0, np.int64))
    return dataclasses.replace(
        split, train=Interactions(users[order], items[order]), validation=nothing
    )
