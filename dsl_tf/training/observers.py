"""The callbacks of a run: loss, validation and checkpoints."""

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import tf_keras as keras

from dsl_tf.accounting import size
from dsl_tf.errors import UserError
from dsl_tf.training.checkpoints import BestWeights, CheckpointFolder
from dsl_tf.training.companions import Companion
from dsl_tf.training.state import TrainingState
from dsl_tf.types import RankingResult


class LossLog(keras.callbacks.Callback):
    """Sums the losses of an epoch's batches, and its seconds."""

    def __init__(self, state: TrainingState) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._begun = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Start the clock of a step."""
        self._begun = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Add a step's loss.

        Raises:
          UserError: the loss is not finite.
        """
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            step = int(self.model.optimizer.iterations)
            raise UserError(
                "The loss must stay finite; a lower `train.learning_rate` may help. "
                f"Received: loss={loss} at step {step}."
            )
        self._state.loss_sum += loss
        self._state.loss_count += 1
        self._state.epoch_seconds += time.perf_counter() - self._begun


class Validation(keras.callbacks.Callback):
    """Validates after epochs, keeps the best weights, stops in time.

    Args:
      state: of the run.
      validate: evaluates the model as it is; None where there is nothing to
        select on: then the last epoch is the best.
      metric: the metric of `validate` that selects, the higher the better.
      best: where the best weights go.
      patience: epochs without a better one before training stops; 0 = never.
      every: epochs from one validation to the next; the last has one in any case.
      epochs: epochs planned.
      may_end: whether the companion can end the training before them.
      positives_per_step: positives in a batch.
      companion: says what goes into the history, and when weights may be kept.
    """

    def __init__(
        self,
        state: TrainingState,
        validate: Callable[[], RankingResult] | None,
        metric: str,
        best: BestWeights,
        patience: int,
        every: int,
        epochs: int,
        may_end: bool,
        positives_per_step: int,
        companion: Companion,
    ) -> None:
        super().__init__()
        self._state = state
        self._validate = validate
        self._metric = metric
        self._best = best
        self._patience = patience
        self._every = every
        self._epochs = epochs
        self._may_end = may_end
        self._positives_per_step = positives_per_step
        self._companion = companion

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Validate, select, and write the epoch's row of the history."""
        state = self._state
        begun = time.perf_counter()
        state.epochs = epoch + 1
        ended = self._may_end and self._companion.done()
        state.finished = ended or state.epochs >= self._epochs
        metrics: Mapping[str, float] = {}
        if self._validate is None:
            if state.finished:
                self._keep(0.0)
        elif self._due():
            metrics = self._validate().mean
            self._select(metrics[self._metric])
        validation_seconds = time.perf_counter() - begun
        since = state.history[-1]["step"] if state.history else 0
        seconds = max(state.epoch_seconds, 1e-9)
        state.history.append(
            {
                "epoch": state.epochs,
                "step": int(self.model.optimizer.iterations),
                "loss": state.loss,
                **{f"valid_{name}": value for name, value in metrics.items()},
                "seconds": round(seconds, 3),
                "validation_seconds": round(validation_seconds, 3),
                "positives_per_second": round(
                    state.loss_count * self._positives_per_step / seconds
                ),
                **self._companion.row(since),
            }
        )
        state.loss_sum, state.loss_count, state.epoch_seconds = 0.0, 0, 0.0
        self.model.stop_training = state.finished

    def _due(self) -> bool:
        """Whether this epoch is validated; its end may be that of the training."""
        return self._state.finished or self._state.epochs % self._every == 0

    def _select(self, score: float) -> None:
        """Keep the weights if they are the best; decide whether to go on."""
        state = self._state
        ends_without = state.finished and not state.best_epoch
        if not (self._companion.selectable() or ends_without):
            return
        if score > state.best_score:
            self._keep(score)
        waited = state.epochs - state.best_epoch
        state.finished |= 0 < self._patience <= waited

    def _keep(self, score: float) -> None:
        state = self._state
        state.best_score = score
        state.best_epoch = state.epochs
        state.best_step = int(self.model.optimizer.iterations)
        self._best.save(state.epochs)


class Checkpoints(keras.callbacks.Callback):
    """Saves at every epoch's end, every so many minutes, and when stopped.

    A stop signal (Ctrl-C, SIGTERM) lets the step or the validation end, saves,
    and only then raises `KeyboardInterrupt`.

    Args:
      state: of the run.
      folder: where checkpoints go.
      best: the best weights, which checkpoints refer to by epoch.
      minutes: between checkpoints within an epoch.
      companion: whose state is saved too.
    """

    def __init__(
        self,
        state: TrainingState,
        folder: CheckpointFolder,
        best: BestWeights,
        minutes: float,
        companion: Companion,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._folder = folder
        self._best = best
        self._seconds = minutes * 60
        self._companion = companion
        self._saved = self._clock = time.perf_counter()
        self._stopped = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Start the clocks."""
        self._saved = self._clock = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save where it is time."""
        due = self._stopped or time.perf_counter() - self._saved >= self._seconds
        # Between an epoch's last step and its validation a run could not go on.
        if due and batch + 1 < self.params["steps"]:
            self._save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save; validation has run."""
        self._save()

    def _save(self) -> None:
        now = time.perf_counter()
        state = self._state
        state.seconds += now - self._clock
        state.peak_rss_bytes = max(state.peak_rss_bytes, size.peak_rss_bytes())
        state.companion = self._companion.state()
        step = int(self.model.optimizer.iterations)
        self._folder.save(step, dataclasses.asdict(state))
        if state.best_epoch:
            self._best.prune(state.best_epoch)
        self._clock = now
        self._saved = time.perf_counter()
        if self._stopped:
            raise KeyboardInterrupt

    @contextmanager
    def stop_signals(self) -> Iterator[None]:
        """Within it, a first stop signal waits for a checkpoint; a second does not.

        Only a process's main thread may handle signals; in others it does nothing.

        Raises:
          KeyboardInterrupt: a signal came that no checkpoint has answered.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            if self._stopped:
                raise KeyboardInterrupt
            self._stopped = True

        kinds = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(kind, stop) for kind in kinds]
        try:
            yield
        finally:
            for kind, handler in zip(kinds, before, strict=True):
                signal.signal(kind, handler)
        if self._stopped:
            raise KeyboardInterrupt
