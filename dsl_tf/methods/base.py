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
from dsl_tf.backbones.base import Backbone
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.data import pipelines
from dsl_tf.errors import UserError
from dsl_tf.evaluation import protocols
from dsl_tf.layers.tables import TableFactory
from dsl_tf.training import checkpoints
from dsl_tf.training.fit import FitSettings, fit
from dsl_tf.training.state import TrainingState
from dsl_tf.types import Interactions, RankingResult, Split

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
      positives_per_step: positives in a batch.
    """

    name: str
    state: TrainingState
    positives_per_step: int


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
    split: Split, config: config_dict.ConfigDict, tables: TableFactory, seed: int
) -> Backbone:
    """A backbone with all its variables, compiled to be trained."""
    model = make_backbone(split, config, tables, seed)
    model.compile(optimizers.make(config.optimizer.name, config.train.learning_rate))
    model.optimizer.build(model.trainable_variables)
    return model


def make_backbone(
    split: Split, config: config_dict.ConfigDict, tables: TableFactory, seed: int
) -> Backbone:
    """A backbone with all its variables, without an optimiser and its moments."""
    backbone = plugins.find("dsl_tf.backbones", config.model.name, "backbone")
    model: Backbone = backbone.build(
        config.model, split.num_users, split.num_items, tables, seed
    )
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
        items = model.item_vectors()

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec(items.shape, items.dtype),
            ]
        )
        def score(users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
            return model.score({"user_id": users}, items)

        self._score = score

    def now(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Scores by the weights of this moment, int32 [B] to [B, num_items].

        The items' vectors are read here, once for all batches.
        """
        items = self._model.item_vectors()
        return lambda users: self._score(users, items)


def evaluate(
    scorer: Scorer, config: config_dict.ConfigDict, split: Split, part: protocols.Part
) -> RankingResult:
    """Evaluate `part` of a split by the protocol of the config."""
    protocol = protocols.find(config.evaluation.protocol)
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
        batch_size=config.train.batch_size,
        negatives=config.train.negatives,
        patience=config.train.patience,
        checkpoint_minutes=config.train.checkpoint_minutes,
        seed=task.seed,
    )
    batches = pipelines.steps_per_epoch(task.split, settings.batch_size)
    planned = settings.epochs * batches

    def run(name: str, split: Split, steps: int | None) -> tuple[Backbone, Pass]:
        model = make_model(split, config, make_tables(split), task.seed)
        validate = None
        if steps is None and len(split.validation):
            validate = functools.partial(
                evaluate, Scorer(model), config, split, "validation"
            )
        state = fit(
            model,
            split,
            dataclasses.replace(settings, steps=steps),
            task.folder / name,
            validate,
            selection_metric(config.evaluation.cutoffs),
            task.console,
            make_dynamic(planned),
        )
        return model, _make_pass(name, state, config, split)

    model, select = run(SELECT, task.split, None)
    if not config.train.refit:
        return Trained(model, task.split, (select,))
    del model  # two at a time would double the memory
    everything = with_validation(task.split)
    model, refit = run(REFIT, everything, select.state.best_step)
    return Trained(model, everything, (select, refit))


def _make_pass(
    name: str, state: TrainingState, config: config_dict.ConfigDict, split: Split
) -> Pass:
    return Pass(name, state, min(config.train.batch_size, len(split.train)))


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
        passes.append(_make_pass(name, TrainingState(**state), config, split))
    tables = make_tables(config, split, task.seed)
    model = make_backbone(split, config, tables, task.seed)
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
