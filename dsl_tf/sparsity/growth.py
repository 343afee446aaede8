"""Growth criteria: a score for each inactive weight; the highest enter.

A score of zero or less means: not a candidate.
"""

from collections.abc import Callable

import numpy as np

from dsl_tf.plugins import choose

#: Maps recorded gradients, float32 [rows, width], and a generator to scores,
#: float32 [rows, width]. The gradients may be overwritten: nobody needs them after.
GrowCriterion = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def gradient(gradients: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The absolute gradient (DSL sec. 3.1.3, "growth principle")."""
    del generator  # it is deterministic
    return np.abs(gradients, out=gradients)


def random(gradients: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Uniform in (0, 1], whatever the gradient, as SET grows.

    Drawn over the rows that were used since recording began, not over all.
    """
    return np.float32(1.0) - generator.random(gradients.shape, dtype=np.float32)


_CRITERIA: dict[str, GrowCriterion] = {"gradient": gradient, "random": random}


def find(name: str) -> GrowCriterion:
    """The criterion of a name.

    Raises:
      UserError: no such criterion; the message lists those that exist.
    """
    return choose(_CRITERIA, name, "growth.criterion")
