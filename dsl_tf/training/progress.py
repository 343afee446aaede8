"""What a person sees while a model trains."""

import datetime
import time
from typing import Any

import rich.console
import rich.progress
import tf_keras as keras

from dsl_tf.training.state import TrainingState

#: Seconds between two looks at the bar, and between two lines of a log.
_BAR_SECONDS, _LOG_SECONDS = 0.2, 60.0


class Progress(keras.callbacks.Callback):
    """A bar with loss, positives/s and time left; plain lines in a log.

    A line is written for every epoch; a log gets one more for every minute of
    a long epoch. The time left is that of all planned steps with their
    validations, at the pace of this process since its first step, which also
    compiles. Early stopping may make it shorter.

    Args:
      state: of the run; read only.
      console: where to write.
      total: optimiser steps planned.
      steps_per_epoch: batches of an epoch.
      positives_per_step: positives in a batch.
      metric: the validation metric to show.
    """

    def __init__(
        self,
        state: TrainingState,
        console: rich.console.Console,
        total: int,
        steps_per_epoch: int,
        positives_per_step: int,
        metric: str,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._state = state
        self._console = console
        self._total = total
        self._epochs = -(-total // steps_per_epoch)
        self._positives_per_step = positives_per_step
        self._metric = metric
        # The first step of a process compiles: no pace is measured on it.
        self._first: tuple[int, float] | None = None  # step, and when it ended
        self._skipped = (0, 0.0)  # steps and seconds of this epoch
        self._shown = time.perf_counter()
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("epoch {task.fields[epoch]}"),
            rich.progress.BarColumn(bar_width=None),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("{task.fields[figures]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=total, epoch="", figures="")

    def on_train_begin(self, logs: Any = None) -> None:
        """Show the bar."""
        self._update(self._step())
        self._bar.start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move the bar a few times a second, or the log once a minute."""
        now, step = time.perf_counter(), self._step()
        if self._first is None:
            self._first = step, now
            self._skipped = self._state.loss_count, self._state.epoch_seconds
        if now - self._shown < (_LOG_SECONDS if self._bar.disable else _BAR_SECONDS):
            return
        self._shown = now
        if self._bar.disable:
            self._print(
                f"epoch {self._epoch(self._state.epochs)}  "
                f"step {step:,}/{self._total:,}  {self._figures(step)}"
            )
        else:
            self._update(step)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's line."""
        row = self._state.history[-1]
        parts = [f"epoch {self._epoch(epoch)}", f"loss {row['loss']:.4f}"]
        if f"valid_{self._metric}" in row:
            best = " *" if self._state.best_epoch == row["epoch"] else "  "
            score = row[f"valid_{self._metric}"]
            parts.append(f"validation {self._metric} {score:.4f}{best}")
        parts.append(f"{row['positives_per_second']:,} positives/s")
        parts.append(f"{row['seconds']:.1f} s + {row['validation_seconds']:.1f} s")
        if not self._state.finished:
            parts.append(f"{self._left(row['step'])} left")
        self._print("  ".join(parts))
        self._skipped = 0, 0.0
        self._shown = time.perf_counter()

    def close(self) -> None:
        """Take the bar away, however training ended."""
        self._bar.stop()

    def _update(self, step: int) -> None:
        epoch = self._epoch(self._state.epochs)
        self._bar.update(
            self._task, completed=step, epoch=epoch, figures=self._figures(step)
        )

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)

    def _step(self) -> int:
        return int(self.model.optimizer.iterations)

    def _epoch(self, done: int) -> str:
        return f"{done + 1:>{len(str(self._epochs))}}/{self._epochs}"

    def _figures(self, step: int) -> str:
        state = self._state
        steps = state.loss_count - self._skipped[0]
        if steps <= 0:
            return f"loss {state.loss:.4f}" if state.loss_count else "starting"
        seconds = max(state.epoch_seconds - self._skipped[1], 1e-9)
        speed = f"{steps * self._positives_per_step / seconds:,.0f} positives/s"
        return f"loss {state.loss:.4f}  {speed}  {self._left(step)} left"

    def _left(self, step: int) -> str:
        """Hours, minutes and seconds until the last planned step."""
        if self._first is None or step == self._first[0]:
            return "-:--:--"
        first, when = self._first
        pace = (time.perf_counter() - when) / (step - first)
        return str(datetime.timedelta(seconds=round((self._total - step) * pace)))
