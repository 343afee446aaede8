"""Train a backbone by `model.fit`: selected on validation, resumable bit for bit."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich.console
import tensorflow as tf
import tf_keras as keras

from dsl_tf.backbones.base import Backbone
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.data import pipelines
from dsl_tf.training.checkpoints import BestWeights, CheckpointFolder
from dsl_tf.training.observers import Checkpoints, LossLog, Validation
from dsl_tf.training.progress import Progress
from dsl_tf.training.state import TrainingState
from dsl_tf.types import RankingResult, Split


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """How long and how fast to train.

    Attributes:
      epochs: at most so many passes over the training interactions.
      batch_size: positives a step.
      negatives: fresh negatives a positive.
      patience: epochs without a better validation before training stops.
      checkpoint_minutes: between checkpoints within an epoch.
      seed: of shuffle, negatives and dropout.
      steps: stop after exactly so many steps, or None.
    """

    epochs: int
    batch_size: int
    negatives: int
    patience: int
    checkpoint_minutes: float
    seed: int
    steps: int | None = None


class _StopAfter(keras.callbacks.Callback):
    """Ends `fit` after a number of optimiser steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._steps = steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count by the optimiser, which a resume restores."""
        if int(self.model.optimizer.iterations) >= self._steps:
            self.model.stop_training = True


def fit(
    model: Backbone,
    split: Split,
    settings: FitSettings,
    folder: Path,
    validate: Callable[[], RankingResult] | None,
    metric: str,
    console: rich.console.Console,
    dynamic: DynamicSparseTraining | None = None,
) -> TrainingState:
    """Train from the newest checkpoint in `folder`, or from the beginning.

    Args:
      model: compiled and built; see `build`.
      split: its training part is trained on.
      settings: how long and how fast.
      folder: where checkpoints and the best weights go.
      validate: evaluates the model on validation, or None without validation.
      metric: the validation metric that selects.
      console: where progress goes.
      dynamic: moves the weights of sparse layers, or None.

    Returns:
      The state at the end; the model has the weights of its best epoch.

    Raises:
      KeyboardInterrupt: stopped by a signal; a checkpoint was written.
      UserError: the loss is not finite, or settings are out of range.
    """
    optimizer = model.optimizer
    data = pipelines.pairwise(
        split,
        settings.batch_size,
        settings.negatives,
        settings.seed,
        optimizer.iterations,
    )
    steps_per_epoch = pipelines.steps_per_epoch(split, settings.batch_size)
    positives_per_step = min(settings.batch_size, len(split.train))
    if dynamic is not None:
        dynamic.set_model(model)  # makes the recorders, which a checkpoint holds

    best = BestWeights(folder, model.weights)
    tensors = {"model": model, "optimizer": optimizer}
    if dynamic is not None:
        tensors["recorders"] = tf.train.Checkpoint(**dynamic.recorders())
    checkpoints = CheckpointFolder(folder, tensors)
    saved = checkpoints.restore()
    state = TrainingState() if saved is None else TrainingState(**saved)
    if dynamic is not None and state.exploration:
        dynamic.restore(state.exploration)

    epochs = settings.epochs
    if settings.steps is not None:
        epochs = math.ceil(settings.steps / steps_per_epoch)
    saver = Checkpoints(
        state, checkpoints, best, settings.checkpoint_minutes, steps_per_epoch, dynamic
    )
    progress = Progress(
        state, console, epochs, steps_per_epoch, positives_per_step, metric
    )
    callbacks: list[keras.callbacks.Callback] = [] if dynamic is None else [dynamic]
    callbacks += [
        LossLog(state),
        Validation(
            state, validate, metric, best, settings.patience, epochs,
            positives_per_step, dynamic,
        ),
        progress,
        saver,
    ]  # fmt: skip
    if settings.steps is not None:
        callbacks.append(_StopAfter(settings.steps))
    try:
        with saver.stop_signals():
            while not state.finished:
                # After a resume the first call ends the interrupted epoch.
                done = int(optimizer.iterations) % steps_per_epoch
                model.fit(
                    data,
                    initial_epoch=state.epochs,
                    epochs=state.epochs + 1 if done else epochs,
                    steps_per_epoch=steps_per_epoch - done,
                    callbacks=callbacks,
                    verbose=0,
                )
    finally:
        progress.close()
    best.restore(state.best_epoch)
    return state


def build(model: Backbone) -> None:
    """Create every variable of a compiled model, the optimiser's too."""
    row = tf.zeros([1], tf.int32)
    model({"user": row, "item": row, "negatives": row[:, None]})
    model.optimizer.build(model.trainable_variables)
