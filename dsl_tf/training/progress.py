"""What a person sees while a model trains."""

import time
from typing import Any

import rich.console
import rich.progress
import tf_keras as keras

from dsl_tf.training.state import TrainingState


class Progress(keras.callbacks.Callback):
    """A bar with loss, positives/s and time left; plain lines in a log.

    Args:
      state: of the run; read only.
      console: where to write.
      epochs: epochs planned.
      steps_per_epoch: batches of an epoch.
      positives_per_step: positives in a batch.
      metric: the validation metric to show.
    """

    def __init__(
        self,
        state: TrainingState,
        console: rich.console.Console,
        epochs: int,
        steps_per_epoch: int,
        positives_per_step: int,
        metric: str,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._console = console
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._positives_per_step = positives_per_step
        self._metric = metric
        self._shown = 0.0
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("epoch {task.fields[epoch]}"),
            rich.progress.BarColumn(bar_width=None),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("loss {task.fields[loss]:.4f}"),
            rich.progress.TextColumn("{task.fields[speed]}"),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def on_train_begin(self, logs: Any = None) -> None:
        """Show the bar."""
        self._task = self._bar.add_task(
            "training",
            total=self._epochs * self._steps_per_epoch,
            completed=int(self.model.optimizer.iterations),
            epoch=self._epoch(self._state.epochs),
            loss=self._state.loss,
            speed="",
        )
        self._bar.start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move the bar, a few times a second."""
        if time.perf_counter() - self._shown < 0.2:
            return
        self._shown = time.perf_counter()
        state = self._state
        self._bar.update(
            self._task,
            completed=int(self.model.optimizer.iterations),
            epoch=self._epoch(state.epochs),
            loss=state.loss,
            speed=self._speed(state.loss_count, state.epoch_seconds),
        )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's line."""
        row = self._state.history[-1]
        best = " *" if self._state.best_epoch == row["epoch"] else ""
        score = row.get(f"valid_{self._metric}")
        shown = "" if score is None else f"  validation {self._metric} {score:.4f}"
        self._console.print(
            f"epoch {self._epoch(epoch)}  loss {row['loss']:.4f}{shown}"
            f"  {row['positives_per_second']:,} positives/s"
            f"  {row['seconds']:.1f} s + {row['validation_seconds']:.1f} s{best}",
            highlight=False,
            soft_wrap=True,
        )

    def close(self) -> None:
        """Take the bar away, however training ended."""
        self._bar.stop()

    def _epoch(self, done: int) -> str:
        return f"{done + 1:>{len(str(self._epochs))}}/{self._epochs}"

    def _speed(self, steps: int, seconds: float) -> str:
        return (
            f"{steps * self._positives_per_step / max(seconds, 1e-9):,.0f} positives/s"
        )
