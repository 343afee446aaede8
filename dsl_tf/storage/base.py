"""What every storage of a sparse weight offers, and what all of them share."""

import abc
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.storage.recorder import GradientRecorder
from dsl_tf.storage.slots import Slot
from dsl_tf.types import Exchange

#: Rows initialised at a time.
BLOCK_ROWS = 1 << 16

#: Initialisers whose draw of a part does not depend on the other parts.
_DRAWN_IN_PARTS = (
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.VarianceScaling,
    keras.initializers.Zeros,
    keras.initializers.Ones,
)

#: Draws the positions of the first mask, int64 [nnz], ascending row-major.
Positions = Callable[[tuple[int, int]], np.ndarray]


class SparseWeight(abc.ABC):
    """One trainable matrix of which a fixed number of positions is active.

    Off the mask the matrix is exactly zero at all times. `nnz` never changes:
    an exchange takes out as many positions as it puts in.

    Args:
      layer: the Keras layer that owns the variables.
      name: the weight's name within its layer.
      shape: (rows, width).
      positions: draws the active positions of the first mask.
      nnz: the number of active positions, which `positions` draws.
      initializer: Keras initialiser of the active values.

    Attributes:
      name: as given.
      shape: as given.
      nnz: as given.
      recorder: where gradients of the effective rows go, or None.
      watched: whether look-ups traced now feed the recorder.
    """

    recorder: GradientRecorder | None = None
    watched: bool = False

    @abc.abstractmethod
    def __init__(
        self,
        layer: keras.layers.Layer,
        name: str,
        shape: tuple[int, int],
        positions: Positions,
        nnz: int,
        initializer: keras.initializers.Initializer,
    ) -> None:
        del layer, positions, initializer  # a storage makes its variables
        self.name = name
        self.shape = shape
        self.nnz = nnz

    @property
    @abc.abstractmethod
    def values(self) -> tf.Variable:
        """The trainable variable that the optimiser updates.

        Its gradient, which Keras's `clipnorm` measures, is the effective one at
        the active positions.
        """

    @abc.abstractmethod
    def positions(self) -> np.ndarray:
        """Active positions, int64 [nnz], ascending, row-major."""

    @abc.abstractmethod
    def active(self) -> tf.Tensor:
        """Values at `positions()`, [nnz], differentiable."""

    @abc.abstractmethod
    def mask(self, rows: np.ndarray | None = None) -> np.ndarray:
        """The mask of `rows` (all if None), bool [rows, width]."""

    @abc.abstractmethod
    def adopt(self, exchange: Exchange, slots: Sequence[Slot]) -> None:
        """Apply an exchange to the mask, the values and the optimiser's slots.

        Kept weights keep value and moments. Grown weights start at zero, their
        slots at the slot's initial value.
        """

    @abc.abstractmethod
    def _rows(self, rows: tf.Tensor) -> tf.Tensor:
        """Effective rows [u, width] for unique `rows` [u].

        The gradient reaches `values` at active positions only.
        """

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        """Effective rows.

        Each distinct row is read once and its gradient summed before it
        reaches the optimiser or the recorder, whatever the storage.

        Args:
          rows: int32 or int64 [...], each in [0, rows).

        Returns:
          [..., width].
        """
        unique, index = tf.unique(tf.reshape(rows, [-1]))
        shape = tf.concat([tf.shape(rows), [self.shape[1]]], axis=0)
        found = tf.reshape(tf.gather(self._watched_rows(unique), index), shape)
        found.set_shape([*rows.shape, self.shape[1]])
        return found

    def read(self) -> tf.Tensor:
        """The whole effective matrix, [rows, width]."""
        return self._watched_rows(tf.range(self.shape[0]))

    def matmul(self, inputs: tf.Tensor, transpose: bool = False) -> tf.Tensor:
        """`inputs` times the effective matrix (or its transpose).

        Args:
          inputs: [B, rows], or [B, width] with `transpose`.
          transpose: multiply by the transpose.

        Returns:
          [B, width], or [B, rows] with `transpose`.
        """
        return tf.matmul(inputs, self.read(), transpose_b=transpose)

    def square_sum(self) -> tf.Tensor:
        """Sum of squares of the active weights, a scalar."""
        return tf.reduce_sum(tf.square(self.active()))

    def active_values(self) -> np.ndarray:
        """Values at `positions()`, [nnz]."""
        values: np.ndarray = self.active().numpy()
        return values

    def _watched_rows(self, rows: tf.Tensor) -> tf.Tensor:
        """`_rows`, whose gradient the recorder sees where one is listening."""
        effective = self._rows(rows)
        if self.recorder is None or not self.watched:
            return effective
        return self.recorder.watch(rows, effective)

    @property
    def sparsity(self) -> float:
        """The share of positions pruned."""
        return 1.0 - self.nnz / (self.shape[0] * self.shape[1])


def row_blocks(
    shape: tuple[int, int], initializer: keras.initializers.Initializer
) -> Iterator[tuple[int, tf.Tensor]]:
    """Draw an initial matrix block by block.

    Storages draw the same numbers, and none needs memory for the whole, if the
    initialiser can draw a part of a matrix; Keras's random ones can.

    Args:
      shape: (rows, width).
      initializer: a Keras initialiser; a scale that depends on the shape
        (Glorot's) is that of the whole matrix.

    Yields:
      (first row, [block, width]).
    """
    rows, width = shape
    if rows <= BLOCK_ROWS or not isinstance(initializer, _DRAWN_IN_PARTS):
        yield 0, initializer(shape, dtype=tf.float32)
        return
    for start in range(0, rows, BLOCK_ROWS):
        block = (min(BLOCK_ROWS, rows - start), width)
        drawn = initializer(
            shape, dtype=tf.float32, partition_shape=block, partition_offset=(start, 0)
        )
        yield start, drawn * _scale(initializer, shape, block)


def _scale(
    initializer: keras.initializers.Initializer,
    shape: tuple[int, int],
    block: tuple[int, int],
) -> float:
    """What makes a block's scale that of the whole: Keras takes the block's."""
    if not isinstance(initializer, keras.initializers.VarianceScaling):
        return 1.0
    fans = {"fan_in": lambda s: s[0], "fan_out": lambda s: s[1], "fan_avg": sum}
    fan = fans[initializer.mode]
    return math.sqrt(fan(block) / fan(shape))
