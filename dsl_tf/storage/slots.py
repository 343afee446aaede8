"""Find the moments that an optimiser keeps of one variable."""

from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras

#: The attributes in which Keras optimisers keep one variable per weight, and
#: the attribute with their initial value (None: zero).
_SLOT_LISTS = {
    "_momentums": None,
    "_velocities": None,
    "_velocity_hats": None,
    "_accumulators": "initial_accumulator_value",
    "_linears": None,
    "_average_gradients": None,
    "_accumulated_grads": None,
    "_accumulated_delta_vars": None,
    "_m": None,
    "_u": None,
    "momentums": None,
    "_model_variables_moving_average": None,
}


class Slot(NamedTuple):
    """One optimiser variable that belongs to a weight.

    Attributes:
      variable: of the shape of the weight's values.
      initial: the value it has before the first step.
    """

    variable: tf.Variable
    initial: float


def find(optimizer: keras.optimizers.Optimizer, weight: tf.Variable) -> list[Slot]:
    """The slots of `weight`: Adam's moments, Adagrad's accumulator, and so on.

    Args:
      optimizer: a Keras optimiser, of the current or the legacy family, or
        one that wraps another (`LossScaleOptimizer`).
      weight: a variable that the optimiser updates.

    Returns:
      The slots that exist; none for plain SGD or before the first step.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        slots = list(_legacy_slots(optimizer, weight))
    else:
        slots = list(_slots(optimizer, weight))
    return [slot for slot in slots if slot.variable.shape == weight.shape]


def _slots(
    optimizer: keras.optimizers.Optimizer, weight: tf.Variable
) -> Iterator[Slot]:
    # The index is the optimiser's own, private but the only link there is
    # between a weight and its slots.
    index = getattr(optimizer, "_index_dict", {}).get(optimizer._var_key(weight))
    if index is None:
        return
    for attribute, initial in _SLOT_LISTS.items():
        variables = getattr(optimizer, attribute, None)
        if isinstance(variables, (list, tuple)) and index < len(variables):
            value = 0.0 if initial is None else float(getattr(optimizer, initial))
            yield Slot(variables[index], value)


def _legacy_slots(
    optimizer: keras.optimizers.legacy.Optimizer, weight: tf.Variable
) -> Iterator[Slot]:
    initial = float(getattr(optimizer, "_initial_accumulator_value", 0.0))
    for name in optimizer.get_slot_names():
        variable = optimizer.get_slot(weight, name)
        if variable is not None:
            yield Slot(variable, initial if name == "accumulator" else 0.0)
