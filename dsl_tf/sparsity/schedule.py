"""When to explore, and which share of the weights to exchange then.

A schedule is asked with the number of optimiser steps done and answers with
the update ratio: 0.0 between explorations. Explorations happen at the
multiples of the update interval before `end_step`.
"""

import abc
import dataclasses
import math
from typing import Any, ClassVar

from dsl_tf.errors import UserError
from dsl_tf.plugins import choose


@dataclasses.dataclass(frozen=True)
class UpdateSchedule(abc.ABC):
    """Base of the schedules; a child gives the decay.

    Attributes:
      initial_update_ratio: ρ_0, the share exchanged at step 0, in [0, 1].
      update_interval: ΔT, optimiser steps between explorations.
      end_step: T_end, the step from which the mask is frozen.
    """

    initial_update_ratio: float
    update_interval: int
    end_step: int

    name: ClassVar[str]

    def __post_init__(self) -> None:
        if not 0.0 <= self.initial_update_ratio <= 1.0:
            raise UserError(
                "`initial_update_ratio` must be in [0, 1]. Received: "
                f"initial_update_ratio={self.initial_update_ratio}."
            )
        if self.update_interval < 1 or self.update_interval % 1:
            raise UserError(
                "`update_interval` must be a whole number of steps, at least 1. "
                f"Received: update_interval={self.update_interval}."
            )
        if self.initial_update_ratio > 0 and self.update_interval >= self.end_step:
            raise UserError(
                "`update_interval` must be below the step at which exploration "
                "ends, or no exploration ever comes (schedule 'none' says so on "
                f"purpose). Received: update_interval={self.update_interval}, "
                f"end_step={self.end_step}."
            )

    @abc.abstractmethod
    def decay(self, progress: float) -> float:
        """The share of ρ_0 left at `progress` = t / T_end, in [0, 1]."""

    def __call__(self, step: int) -> float:
        """ρ_t after `step` optimiser steps; 0.0 where no exploration is due."""
        if step <= 0 or step >= self.end_step or step % self.update_interval:
            return 0.0
        return self.initial_update_ratio * self.decay(step / self.end_step)

    def next_exploration(self, step: int) -> int | None:
        """The first exploration after `step`, or None if there is none."""
        following = (step // self.update_interval + 1) * self.update_interval
        if self.initial_update_ratio == 0 or following >= self.end_step:
            return None
        return following

    def get_config(self) -> dict[str, Any]:
        """A JSON-ready description; `from_config` makes the schedule again."""
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Cosine(UpdateSchedule):
    """ρ_t = ρ_0 / 2 · (1 + cos(π t / T_end)) (DSL eq. 2)."""

    name: ClassVar[str] = "cosine"

    def decay(self, progress: float) -> float:
        """Cosine from 1 to 0."""
        return (1.0 + math.cos(math.pi * progress)) / 2.0


@dataclasses.dataclass(frozen=True)
class Linear(UpdateSchedule):
    """ρ_t = ρ_0 · (1 - t / T_end) (DSL Table 4)."""

    name: ClassVar[str] = "linear"

    def decay(self, progress: float) -> float:
        """Straight line from 1 to 0."""
        return 1.0 - progress


@dataclasses.dataclass(frozen=True)
class Constant(UpdateSchedule):
    """ρ_t = ρ_0 until T_end (DSL Table 4, "no decay")."""

    name: ClassVar[str] = "constant"

    def decay(self, progress: float) -> float:
        """Always 1."""
        del progress
        return 1.0


@dataclasses.dataclass(frozen=True)
class Never(UpdateSchedule):
    """No exploration: the first mask stays (random pruning)."""

    initial_update_ratio: float = 0.0
    update_interval: int = 1
    end_step: int = 1

    name: ClassVar[str] = "none"

    def decay(self, progress: float) -> float:
        """Always 0."""
        del progress
        return 0.0


_SCHEDULES: dict[str, type[UpdateSchedule]] = {
    kind.name: kind for kind in (Cosine, Linear, Constant, Never)
}


def from_config(config: dict[str, Any]) -> UpdateSchedule:
    """Make a schedule from `{"name": …, "initial_update_ratio": …, …}`.

    No ratio to exchange, or an interval of infinite length, is schedule `none`.

    Raises:
      UserError: an unknown name, or values out of range.
    """
    settings = dict(config)
    name = settings.pop("name")
    kind = choose(_SCHEDULES, name, "sparsity.schedule")
    never = settings.get("update_interval") == math.inf
    if name == Never.name or never or settings.get("initial_update_ratio") == 0:
        return Never()
    return kind(**settings)
