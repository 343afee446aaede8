"""Pruning criteria: a score for each active weight; the lowest leave."""

from collections.abc import Callable

import numpy as np

#: Maps the active values, real [nnz], to scores, float32 [nnz].
PruneCriterion = Callable[[np.ndarray], np.ndarray]


def magnitude(values: np.ndarray) -> np.ndarray:
    """The absolute weight (DSL sec. 3.1.3, "pruning principle")."""
    return np.abs(values.astype(np.float32, copy=False))
