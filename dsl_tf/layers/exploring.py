"""One exploration of one sparse weight: scores, decision, move."""

import numpy as np
import tf_keras as keras

from dsl_tf.sparsity.exploration import explore
from dsl_tf.sparsity.growth import GrowCriterion
from dsl_tf.sparsity.pruning import PruneCriterion
from dsl_tf.sparsity.selection import Scores
from dsl_tf.storage import slots
from dsl_tf.storage.base import SparseWeight
from dsl_tf.types import Exchange


def explore_weight(
    weight: SparseWeight,
    optimizer: keras.optimizers.Optimizer,
    prune_criterion: PruneCriterion,
    grow_criterion: GrowCriterion,
    update_ratio: float,
    generator: np.random.Generator,
) -> tuple[Exchange, int]:
    """Exchange the share ρ_t of a weight, by what its recorder holds.

    Args:
      weight: has a recorder, which is empty afterwards.
      optimizer: the one that updates the weight.
      prune_criterion: scores active values.
      grow_criterion: scores recorded gradients.
      update_ratio: ρ_t in [0, 1].
      generator: for criteria that draw at random.

    Returns:
      The exchange, and how many rows had a gradient.
    """
    recorder = weight.recorder
    assert recorder is not None
    read = weight.reader(weight.values)

    def prune_scores(start: int, stop: int) -> np.ndarray:
        return prune_criterion(read(start, stop))

    rows, gradients = (tensor.numpy() for tensor in recorder.recorded())
    exchange = explore(
        Scores(weight.nnz, prune_scores),
        rows,
        weight.row_begin(rows),
        weight.mask(rows),
        grow_criterion(gradients, generator),
        update_ratio,
    )
    recorder.clear()
    del gradients  # as large as the recorder
    weight.adopt(exchange, slots.find(optimizer, weight.values))
    return exchange, len(rows)
