"""Pruning criteria: a score for each active weight; the lowest leave."""

from collections.abc import Callable

import numpy as np

from dsl_tf.plugins import choose

#: Maps active values, real [n], to scores, float32 [n], each by itself: a weight's
#: values come in blocks.
PruneCriterion = Callable[[np.ndarray], np.ndarray]


def magnitude(values: np.ndarray) -> np.ndarray:
    """The absolute weight (DSL sec. 3.1.3, "pruning principle")."""
    return np.abs(values.astype(np.float32, copy=False))


_CRITERIA: dict[str, PruneCriterion] = {"magnitude": magnitude}


def find(name: str) -> PruneCriterion:
    """The criterion of a name.

    Raises:
      UserError: no such criterion; the message lists those that exist.
    """
    return choose(_CRITERIA, name, "pruning.criterion")
