"""Growth criteria: a score for each inactive weight; the highest enter.

A score of zero or less means: not a candidate.
"""

from collections.abc import Callable

import numpy as np

from dsl_tf.plugins import choose

#: Maps recorded gradients, float32 [rows, width], to scores, float32 [rows, width]. The
#: gradients may be overwritten: nobody needs them after.
GrowCriterion = Callable[[np.ndarray], np.ndarray]


def gradient(gradients: np.ndarray) -> np.ndarray:
    """The absolute gradient (DSL sec. 3.1.3, "growth principle")."""
    return np.abs(gradients, out=gradients)


#: None: without scores, at random anywhere, for which no gradient is recorded.
_CRITERIA: dict[str, GrowCriterion | None] = {"gradient": gradient, "random": None}


def given(criterion: GrowCriterion | str | None) -> GrowCriterion | None:
    """A criterion, or that of a name.

    Raises:
      UserError: neither.
    """
    if criterion is None or callable(criterion):
        return criterion
    return choose(_CRITERIA, criterion, "grow_criterion")


def find(name: str) -> GrowCriterion | None:
    """The criterion of a name.

    Raises:
      UserError: no such criterion; the message lists those that exist.
    """
    return choose(_CRITERIA, name, "growth.criterion")
