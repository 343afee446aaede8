"""Find the moments that an optimiser keeps of one variable."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

#: The slots that do not begin at zero: where a Keras optimiser keeps them, and
#: where it keeps their initial value.
_INITIAL_VALUES = {"_accumulators": "initial_accumulator_value"}

#: The same for the slot names of the legacy family.
_LEGACY_INITIAL_VALUES = {"accumulator": "_initial_accumulator_value"}


#: Where Keras optimisers of both families keep squares of gradients.
_SQUARES = (
    *("_velocities", "_velocity_hats", "_accumulators"),
    *("v", "vhat", "rms", "accumulator"),
)


class Slot(NamedTuple):
    """One optimiser variable that belongs to a weight.

    Attributes:
      variable: of the shape of the weight's values.
      initial: the value it has before the first step.
      squares: whether it sums or averages squares of gradients, which a step is
        divided by the root of.
      grown: what positions that grow get, ascending [n]; None: the initial value.
    """

    variable: tf.Variable
    initial: float
    squares: bool = False
    grown: np.ndarray | None = None


def find(optimizer: keras.optimizers.Optimizer, weight: tf.Variable) -> list[Slot]:
    """The slots of `weight`: Adam's moments, Adagrad's accumulator, and so on.

    An average that the optimiser keeps of the weight (`use_ema`) is a slot too.

    Args:
      optimizer: a Keras optimiser, of the current or the legacy family, or
        one that wraps others (`LossScaleOptimizer`, `CompositeOptimizer`).
      weight: a variable that the optimiser updates.

    Returns:
      The slots that exist; none for plain SGD or before the first step.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    parts = getattr(optimizer, "_optimizers_and_vars", None)
    if parts is not None:
        return [slot for part, _ in parts for slot in find(part, weight)]
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        slots = _legacy_slots(optimizer, weight)
    else:
        slots = _slots(optimizer, weight)
    return [slot for slot in slots if slot.variable.shape == weight.shape]


def create(
    optimizer: keras.optimizers.Optimizer, weights: Sequence[tf.Variable]
) -> None:
    """Make the slots that the first step would make."""
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        optimizer._create_all_weights(weights)
    else:
        optimizer.build(weights)


def _slots(
    optimizer: keras.optimizers.Optimizer, weight: tf.Variable
) -> Iterator[Slot]:
    # Each kind of slot is a list with one variable for each weight. The index
    # is the optimiser's own, private, but the only link there is between the
    # two; a list of names would miss the optimisers that users write.
    places = getattr(optimizer, "_index_dict", {})
    place = places.get(optimizer._var_key(weight))
    if place is None:
        return
    for attribute, variables in sorted(vars(optimizer).items()):
        if attribute == "_variables" or not isinstance(variables, (list, tuple)):
            continue
        if len(variables) == len(places) and isinstance(variables[place], tf.Variable):
            source = _INITIAL_VALUES.get(attribute)
            # A list of this name may be another's, which begins at zero as others do.
            initial = float(getattr(optimizer, source, 0.0)) if source else 0.0
            yield Slot(variables[place], initial, attribute in _SQUARES)


def _legacy_slots(
    optimizer: keras.optimizers.legacy.Optimizer, weight: tf.Variable
) -> Iterator[Slot]:
    for name in optimizer.get_slot_names():
        try:
            variable = optimizer.get_slot(weight, name)
        except KeyError:  # no step was taken yet, or another one updates it
            continue
        source = _LEGACY_INITIAL_VALUES.get(name)
        initial = float(getattr(optimizer, source, 0.0)) if source else 0.0
        yield Slot(variable, initial, name in _SQUARES)
