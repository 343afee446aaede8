"""Moments that an optimiser keeps of another mask than a weight has.

`set_weights` and what calls it, such as `EarlyStopping(restore_best_weights=True)`,
give a weight another mask and leave the optimiser as it is. Moments are kept in the
order of the active positions, or at their places, so they would be of other weights
then. A checkpoint that restores the optimiser too restores its steps, by which it is
told apart.
"""

import warnings
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tf_keras as keras

from dsl_tf.storage import slots
from dsl_tf.storage.base import SparseWeight


def note(weight: SparseWeight, step: int) -> None:
    """The moments are of the mask that there is, after so many steps."""
    weight.moments_of = weight.checksum(), step


def leave(weights: Mapping[str, SparseWeight], step: int) -> None:
    """A `fit` ends after so many steps; masks may have been restored already."""
    for weight in weights.values():
        if weight.moments_of is not None:
            weight.moments_of = weight.moments_of[0], step


def take_up(
    weights: Mapping[str, SparseWeight],
    optimizers: Sequence[keras.optimizers.Optimizer],
    step: int,
) -> None:
    """A `fit` begins: moments of masks that are gone begin anew, with a warning.

    Args:
      weights: by their names.
      optimizers: that may keep moments of them.
      step: of the optimiser.
    """
    anew = []
    for name, weight in weights.items():
        before = weight.moments_of
        note(weight, step)
        if before is None or before[1] != step or before == weight.moments_of:
            continue
        for optimizer in optimizers:
            for slot in slots.find(optimizer, weight.values):
                variable = slot.variable
                anew.append(name)
                variable.assign(tf.fill(variable.shape, _of(variable, slot.initial)))
    if anew:
        warnings.warn(
            "Weights were restored and the optimiser was not: what it kept of "
            f"{', '.join(dict.fromkeys(anew))} is of weights in other places and "
            "begins anew. A tf.train.Checkpoint holds both.",
            stacklevel=3,
        )


def _of(variable: tf.Variable, value: float) -> tf.Tensor:
    return tf.cast(value, variable.dtype)
