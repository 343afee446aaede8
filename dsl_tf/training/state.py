"""What a training run knows beside its tensors."""

import dataclasses
from typing import Any


@dataclasses.dataclass
class TrainingState:
    """Everything of a run that a checkpoint holds as JSON.

    Attributes:
      epochs: epochs finished, validation included.
      loss_sum: Σ of the losses of the batches of the unfinished epoch.
      loss_count: those batches.
      epoch_seconds: seconds spent in the unfinished epoch so far.
      seconds: seconds spent in training in all, over every resume.
      peak_rss_bytes: the most memory of any of the processes.
      best_epoch: 0 before the first validation.
      best_step: optimiser steps done then.
      best_score: its selection metric.
      finished: no further step will be taken.
      history: a row for each finished epoch.
      companion: what the companion of the pass has to remember.
      read_from: the folder of another run that took the pass; "" for this one.
    """

    epochs: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    epoch_seconds: float = 0.0
    seconds: float = 0.0
    peak_rss_bytes: int = 0
    best_epoch: int = 0
    best_step: int = 0
    best_score: float = float("-inf")
    finished: bool = False
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    companion: dict[str, Any] = dataclasses.field(default_factory=dict)
    read_from: str = ""

    @property
    def loss(self) -> float:
        """Mean loss of the batches of the unfinished epoch."""
        return self.loss_sum / max(1, self.loss_count)
