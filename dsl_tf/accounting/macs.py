"""Multiply-accumulates, by formula, from the non-zeros that there are.

Forward, of a step with so many users, items and pairs (`StepSize`):
    once + users · per_user + items · per_item + pairs · per_pair
with the backbone's own `macs` for the four, zeros of the tables not counted.
Backward: twice the forward pass (the gradient of the inputs and that of the
weights). Optimiser: `OPTIMIZER_MACS`, those of Adam, for each weight updated in a
step: all non-zeros, touched or not, as Keras does it; with `LazyAdam`, of the tables
at most the mean row's non-zeros times the rows of a batch. Exploration compares and
moves but multiplies nothing. Evaluation between epochs is not training.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dsl_tf.backbones.base import Backbone
from dsl_tf.layers.tables import Tables
from dsl_tf.optimizers import LazyAdam
from dsl_tf.types import InteractionMacs, StepSize

#: Adam: 1 for the first moment, 2 for the second, 2 for the weight.
OPTIMIZER_MACS = 5


class TrainingMacs(NamedTuple):
    """Multiply-accumulates of training, by what they serve."""

    forward: int
    backward: int
    optimizer: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.forward + self.backward + self.optimizer


NO_MACS = TrainingMacs(0, 0, 0)


def interaction(model: Backbone) -> InteractionMacs:
    """The backbone's MACs at the densities that its tables have now."""
    items = model.item_blocks(np.arange(model.num_items))
    return model.macs(_used(model.user_blocks()), _used(items))


def _used(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The share of non-zeros in each column, float64 [width]."""
    counts = [(np.count_nonzero(block, axis=0), len(block)) for block in blocks]
    nonzeros, rows = zip(*counts, strict=True)
    return np.sum(nonzeros, axis=0) / sum(rows)


def updated(model: Backbone, size: StepSize) -> float:
    """Weights that the optimiser updates in a step of this size, at most."""
    tables = {
        id(variable)
        for layer in model._flatten_layers()
        if isinstance(layer, Tables)
        for variable in layer.trainable_variables
    }
    active = {id(weight.values): weight.nnz for weight in model.sparse_weights()}
    counts = {
        id(v): active.get(id(v), v.shape.num_elements())
        for v in model.trainable_variables
    }
    in_tables = sum(count for key, count in counts.items() if key in tables)
    others = sum(counts.values()) - in_tables
    if not isinstance(model.optimizer, LazyAdam):
        return others + in_tables
    rows = model.num_users + model.num_items
    return others + in_tables * min(1.0, (size.users + size.items) / rows)


def training(
    macs: InteractionMacs, weights: float, steps: int, size: StepSize
) -> TrainingMacs:
    """MACs of a training pass.

    Args:
      macs: of the interaction.
      weights: updated in each step.
      steps: optimiser steps.
      size: of a step.
    """
    each = macs.once + size.users * macs.per_user + size.items * macs.per_item
    forward = round(steps * (each + size.pairs * macs.per_pair))
    optimizer = round(OPTIMIZER_MACS * weights * steps)
    return TrainingMacs(forward, 2 * forward, optimizer)


def of_pass(model: Backbone, steps: int, size: StepSize) -> TrainingMacs:
    """MACs of a pass that a model has behind it, at the densities it has now.

    Args:
      model: trained; compiled with the optimiser that trained it.
      steps: optimiser steps.
      size: of a step.
    """
    return training(interaction(model), updated(model, size), steps, size)


def inference(macs: InteractionMacs, num_items: int) -> int:
    """MACs of scoring all items for one user: per_user + M · (per_item + per_pair)."""
    return round(macs.per_user + num_items * (macs.per_item + macs.per_pair))
