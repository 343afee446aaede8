"""A dense table that is pruned while it is trained: what gradual pruning needs."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.layers.tables import DenseEmbedding, DenseTables


class PrunedEmbedding(DenseEmbedding):
    """A dense table beside a mask, outside of which it is kept at zero.

    The mask starts full and is whatever it is given. Nothing gets smaller: the table,
    its gradients and the optimiser's moments are dense, as in every implementation
    that multiplies by a mask.

    Args:
      *args: as for `DenseEmbedding`.
      **kwargs: as for `DenseEmbedding`, without a constraint.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, embeddings_constraint=self._masked, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        """Create the table and its mask."""
        self.mask = self.add_weight(
            name="mask",
            shape=(self.input_dim, self.output_dim),
            dtype=tf.bool,
            initializer=keras.initializers.Ones(),
            trainable=False,
        )
        super().build(input_shape)

    def prune(self, mask: np.ndarray) -> None:
        """Take a mask over, bool [input_dim, output_dim]."""
        self.mask.assign(mask)
        self.embeddings.assign(self._masked(self.embeddings))

    def _masked(self, table: tf.Tensor) -> tf.Tensor:
        """What Keras makes of the table after each step of the optimiser."""
        return tf.where(self.mask, table, 0.0)


class PrunedTables(DenseTables):
    """`PrunedEmbedding` tables."""

    def _table(
        self,
        kind: str,
        width: int,
        name: str,
        initializer: keras.initializers.Initializer,
    ) -> PrunedEmbedding:
        return PrunedEmbedding(self._rows(kind), width, initializer, name=name)
