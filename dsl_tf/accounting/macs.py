"""Multiply-accumulates, by formula, from the non-zeros that there are.

Forward, of one positive with n negatives:
    per_user + (1 + n) · (per_item + per_pair)
with the backbone's own `macs` for the three, zeros of the tables not counted.
Backward: twice the forward pass (the gradient of the inputs and that of the
weights). Optimiser: `OPTIMIZER_MACS` for each non-zero weight and step; Keras's
Adam updates every weight in every step, touched or not. Exploration compares
and moves but multiplies nothing. Evaluation between epochs is not training.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from dsl_tf.backbones import vectors
from dsl_tf.backbones.base import Backbone
from dsl_tf.types import InteractionMacs

#: Adam: 1 for the first moment, 2 for the second, 2 for the weight.
OPTIMIZER_MACS = 5


@dataclasses.dataclass(frozen=True)
class TrainingMacs:
    """Multiply-accumulates of training, by what they serve."""

    forward: int
    backward: int
    optimizer: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.forward + self.backward + self.optimizer


def interaction(model: Backbone) -> InteractionMacs:
    """The backbone's MACs at the densities that its tables have now."""
    items = vectors.item_blocks(model, np.arange(model.num_items))
    return model.macs(_used(vectors.user_blocks(model)), _used(items))


def _used(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """The share of non-zeros in each column, float64 [width]."""
    counts = [(np.count_nonzero(block, axis=0), len(block)) for block in blocks]
    nonzeros, rows = zip(*counts, strict=True)
    return np.sum(nonzeros, axis=0) / sum(rows)


def training(
    macs: InteractionMacs, nonzeros: int, steps: int, positives: int, negatives: int
) -> TrainingMacs:
    """MACs of a training pass.

    Args:
      macs: of the interaction.
      nonzeros: trainable weights that are not pruned.
      steps: optimiser steps.
      positives: positives a step.
      negatives: negatives a positive.
    """
    example = macs.per_user + (1 + negatives) * (macs.per_item + macs.per_pair)
    forward = round(steps * positives * example)
    return TrainingMacs(forward, 2 * forward, OPTIMIZER_MACS * nonzeros * steps)


def inference(macs: InteractionMacs, num_items: int) -> int:
    """MACs of scoring all items for one user: per_user + M · (per_item + per_pair)."""
    return round(macs.per_user + num_items * (macs.per_item + macs.per_pair))
