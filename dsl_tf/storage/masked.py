"""Dense values and a bool mask: the storage that is easiest to reason about.

It saves no memory. It is the oracle for the packed storage, and serves where
the number of non-zeros changes while training.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.storage.base import Positions, SparseWeight, row_blocks
from dsl_tf.storage.slots import Slot
from dsl_tf.types import Exchange


class MaskedWeight(SparseWeight):
    """Values float [rows, width], zero off the mask, and mask bool [rows, width].

    The mask is the layer's variable `<name>_mask`.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        name: str,
        shape: tuple[int, int],
        positions: Positions,
        nnz: int,
        initializer: keras.initializers.Initializer,
    ) -> None:
        super().__init__(layer, name, shape, positions, nnz, initializer)

        def initial_mask(shape: Sequence[int], dtype: tf.DType) -> tf.Tensor:
            active = np.zeros(shape, bool)
            active.reshape(-1)[positions((int(shape[0]), int(shape[1])))] = True
            return tf.constant(active, dtype)

        def initial_values(shape: Sequence[int], dtype: tf.DType) -> tf.Tensor:
            rows, width = int(shape[0]), int(shape[1])
            blocks = [block for _, block in row_blocks((rows, width), initializer)]
            values = tf.concat(blocks, axis=0)
            return tf.cast(tf.where(self._mask, values, tf.zeros_like(values)), dtype)

        self._mask = layer.add_weight(
            name=f"{name}_mask",
            shape=shape,
            dtype=tf.bool,
            initializer=initial_mask,
            trainable=False,
        )
        self._values = layer.add_weight(
            name=name, shape=shape, initializer=initial_values
        )

    @property
    def values(self) -> tf.Variable:
        return self._values

    def positions(self) -> np.ndarray:
        return np.flatnonzero(self._mask.numpy())

    def active(self) -> tf.Tensor:
        return tf.boolean_mask(self._values, self._mask)

    def mask(self, rows: np.ndarray | None = None) -> np.ndarray:
        mask = self._mask if rows is None else tf.gather(self._mask, rows)
        found: np.ndarray = mask.numpy()
        return found

    def adopt(self, exchange: Exchange, slots: Sequence[Slot]) -> None:
        moved = np.concatenate([exchange.pruned, exchange.grown])
        index = np.stack(np.unravel_index(moved, self.shape), axis=1)
        active = np.repeat([False, True], [len(exchange.pruned), len(exchange.grown)])
        self._mask.scatter_nd_update(index, active)
        # Off the mask a slot holds its initial value, so that growing a
        # position needs no look at its past.
        for variable, initial in [Slot(self._values, 0.0), *slots]:
            fill = tf.fill([len(moved)], tf.cast(initial, variable.dtype))
            variable.scatter_nd_update(index, fill)

    def _rows(self, rows: tf.Tensor) -> tf.Tensor:
        # The values are zero off the mask already; the way back needs the
        # mask, and so does a variable that somebody else has assigned to.
        values, mask = tf.gather(self._values, rows), tf.gather(self._mask, rows)
        return tf.where(mask, values, tf.zeros_like(values))
