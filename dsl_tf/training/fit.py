"""Train a backbone by `model.fit`: selected on validation, resumable bit for bit."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import rich.console
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf.accounting import size
from dsl_tf.backbones.base import Backbone
from dsl_tf.data.pipelines import Batches
from dsl_tf.errors import UserError
from dsl_tf.training.checkpoints import BestWeights, CheckpointFolder
from dsl_tf.training.companions import Companion
from dsl_tf.training.observers import Checkpoints, LossLog, Validation
from dsl_tf.training.progress import Progress
from dsl_tf.training.state import TrainingState
from dsl_tf.types import RankingResult


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """How long and how fast to train.

    Attributes:
      epochs: at most so many passes over the training interactions.
      patience: epochs without a better validation before training stops.
      validate_every: epochs between two validations; the last epoch has one.
      checkpoint_minutes: between checkpoints within an epoch.
      steps: take exactly so many steps instead, however many epochs, or None.

    Raises:
      UserError: one of them is out of range.
    """

    epochs: int
    patience: int
    validate_every: int
    checkpoint_minutes: float
    steps: int | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("epochs", 1),
            ("patience", 0),
            ("validate_every", 1),
            ("checkpoint_minutes", 0),
        ):
            value = getattr(self, name)
            if value < least:
                raise UserError(
                    f"`train.{name}` must be at least {least}. Received: {value}."
                )

    @classmethod
    def of(
        cls, config: config_dict.ConfigDict, steps: int | None = None
    ) -> "FitSettings":
        """Those of the config node `train`, and the steps to take where known."""
        names = [each.name for each in dataclasses.fields(cls)]
        return cls(**{name: config[name] for name in names[:-1]}, steps=steps)


def fit(
    model: Backbone,
    batches: Batches,
    settings: FitSettings,
    folder: Path,
    validate: Callable[[], RankingResult] | None,
    metric: str,
    console: rich.console.Console,
    companion: Companion,
) -> TrainingState:
    """Train from the newest checkpoint in `folder`, or from the beginning.

    Args:
      model: compiled; with all its variables, the optimiser's too.
      batches: what to train on.
      settings: how long and how fast.
      folder: where checkpoints and the best weights go.
      validate: evaluates the model on validation, or None without validation.
      metric: the validation metric that selects.
      console: where progress goes.
      companion: goes along; `Companion(Callback())` does nothing.

    Returns:
      The state at the end; the model has the weights of its best epoch.

    Raises:
      KeyboardInterrupt: stopped by a signal; a checkpoint was written.
      UserError: the loss is not finite.
    """
    size.reset_peak()
    optimizer = model.optimizer
    # Not `iterations` itself: the first step of a `fit` may count it up before
    # it draws its batch, which would then be the next one.
    begun = tf.Variable(0, dtype=tf.int64, trainable=False)
    data = batches.dataset(begun)
    steps_per_epoch = batches.steps_per_epoch
    companion.callback.set_model(model)  # makes what a checkpoint holds

    best = BestWeights(folder, model.weights)
    tensors = {"model": model, "optimizer": optimizer}
    tensors["companion"] = tf.train.Checkpoint(**companion.tensors())
    checkpoints = CheckpointFolder(folder, tensors)
    saved = checkpoints.restore()
    state = TrainingState() if saved is None else TrainingState(**saved)
    if state.companion:
        companion.restore(state.companion)

    total = settings.steps or settings.epochs * steps_per_epoch
    epochs = math.ceil(total / steps_per_epoch)
    done = int(optimizer.iterations)
    if done and not state.finished:
        console.print(
            f"Going on after step {done:,} of {total:,} (epoch {state.epochs + 1}).",
            highlight=False,
        )
    saver = Checkpoints(
        state, checkpoints, best, settings.checkpoint_minutes, companion
    )
    progress = Progress(
        state, console, total, steps_per_epoch, batches.size.positives, metric
    )
    # In this order: weights move, are measured, shown and saved.
    callbacks: list[keras.callbacks.Callback] = [
        companion.callback,
        LossLog(state),
        Validation(
            state, validate, metric, best, settings.patience,
            settings.validate_every, epochs, settings.steps is None,
            batches.size.positives, companion,
        ),
        progress,
        saver,
    ]  # fmt: skip
    try:
        with saver.stop_signals():
            while not state.finished:
                # One call for all whole epochs; one for what a resume finds of
                # an epoch, and one for the last epoch where it is cut short.
                done = int(optimizer.iterations)
                left = min(steps_per_epoch - done % steps_per_epoch, total - done)
                whole = (total - done) // steps_per_epoch
                begun.assign(done)
                model.fit(
                    data,
                    initial_epoch=state.epochs,
                    epochs=state.epochs + (whole if left == steps_per_epoch else 1),
                    steps_per_epoch=left,
                    callbacks=callbacks,
                    verbose=0,
                )
    finally:
        progress.close()
    best.restore(state.best_epoch)
    return state
