"""Dense values and a bool mask: the storage that is easiest to reason about.

It saves no memory. It is the oracle for the packed storage, and serves where
the number of non-zeros changes while training.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.storage.base import MaskBlocks, SparseWeight
from dsl_tf.storage.initial import row_blocks
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
        mask: MaskBlocks,
        nnz: int,
        initializer: keras.initializers.Initializer,
    ) -> None:
        super().__init__(layer, name, shape, mask, nnz, initializer)

        def initial_mask(shape: Sequence[int], dtype: tf.DType) -> tf.Tensor:
            blocks = mask((int(shape[0]), int(shape[1])))
            return tf.constant(np.concatenate([*blocks]), dtype)

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

    @property
    def variables(self) -> list[tf.Variable]:
        return [self._values, self._mask]

    def active(self) -> tf.Tensor:
        return tf.boolean_mask(self._values, self._mask)

    def mask(self, rows: np.ndarray | None = None) -> np.ndarray:
        mask = self._mask if rows is None else tf.gather(self._mask, rows)
        found: np.ndarray = mask.numpy()
        return found

    def checksum(self) -> int:
        return zlib.crc32(self._mask.numpy().data)

    def row_begin(self, rows: np.ndarray) -> np.ndarray:
        counts = np.count_nonzero(self._mask.numpy(), axis=1)
        return np.concatenate([[0], np.cumsum(counts)])[rows]

    def reader(self, variable: tf.Variable) -> Callable[[int, int], np.ndarray]:
        active = variable.numpy()[self._mask.numpy()]
        return lambda start, stop: active[start:stop]

    def assign(
        self,
        masks: Iterable[np.ndarray],
        variables: Iterable[tuple[Slot, Iterable[np.ndarray]]],
    ) -> None:
        mask = np.concatenate([*masks])
        self._mask.assign(mask)
        for (variable, initial, *_), blocks in variables:
            table = np.full(mask.shape, initial, variable.dtype.as_numpy_dtype)
            table[mask] = np.concatenate([*blocks])
            variable.assign(table)

    def adopt(self, exchange: Exchange, slots: Sequence[Slot]) -> None:
        pruned = self.positions()[exchange.pruned]
        moved = np.concatenate([pruned, exchange.grown])
        index = np.stack(np.unravel_index(moved, self.shape), axis=1)
        active = np.repeat([False, True], [len(pruned), len(exchange.grown)])
        self._mask.scatter_nd_update(index, active)
        # Off the mask a slot holds its initial value, so that growing a
        # position needs no look at its past.
        for variable, initial, _, grown in [Slot(self._values, 0.0), *slots]:
            fill = np.full(len(moved), initial, variable.dtype.as_numpy_dtype)
            if grown is not None:
                fill[len(pruned) :] = grown
            variable.scatter_nd_update(index, fill)

    def _rows(self, rows: tf.Tensor) -> tf.Tensor:
        # The values are zero off the mask already; the way back needs the
        # mask, and so does a variable that somebody else has assigned to.
        return self._active_part(rows, tf.gather(self._values, rows))

    def _dense(self, values: tf.Tensor) -> tf.Tensor:
        return tf.where(self._mask, values, tf.zeros_like(values))

    def _active_part(self, rows: tf.Tensor, dense: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.gather(self._mask, rows), dense, tf.zeros_like(dense))
