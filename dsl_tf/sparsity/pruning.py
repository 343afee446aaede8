"""Pruning criteria: a score for each active weight; the lowest leave."""

from collections.abc import Callable

import numpy as np

from dsl_tf.plugins import choose

#: Gives how often the row of each of some values is used, real [n], if asked.
Use = Callable[[], np.ndarray]

#: Maps active values, real [n], and their `Use` to scores, float32 [n], each by
#: itself: a weight's values come in blocks.
PruneCriterion = Callable[[np.ndarray, Use], np.ndarray]


def magnitude(values: np.ndarray, use: Use) -> np.ndarray:
    """The absolute weight (DSL sec. 3.1.3, "pruning principle")."""
    del use
    return np.abs(values.astype(np.float32, copy=False))


def scaled_magnitude(values: np.ndarray, use: Use) -> np.ndarray:
    """The absolute weight times the root of its row's use.

    What of LightGCN's layer 0 arrives at the neighbours: over each of a node's d edges
    a weight goes with 1 / √d, in all √d times.
    """
    scale = np.sqrt(np.maximum(use(), 1.0)).astype(np.float32)
    return magnitude(values, use) * scale


_CRITERIA: dict[str, PruneCriterion] = {
    "magnitude": magnitude,
    "scaled_magnitude": scaled_magnitude,
}


def given(criterion: PruneCriterion | str) -> PruneCriterion:
    """A criterion, or that of a name.

    Raises:
      UserError: neither.
    """
    if callable(criterion):
        return criterion
    return choose(_CRITERIA, criterion, "prune_criterion")


def find(name: str) -> PruneCriterion:
    """The criterion of a name.

    Raises:
      UserError: no such criterion; the message lists those that exist.
    """
    return choose(_CRITERIA, name, "pruning.criterion")
