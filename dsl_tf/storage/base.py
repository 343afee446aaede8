"""What every storage of a sparse weight offers, and what all of them share."""

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.storage import products
from dsl_tf.storage.expansion import Expansion
from dsl_tf.storage.recorder import GradientRecorder
from dsl_tf.storage.slots import Slot
from dsl_tf.types import Exchange

#: Elements of the dense form that are in memory at a time.
BLOCK_ELEMENTS = 1 << 20

#: Draws the first mask of a shape, from the first row to the last: bool
#: [block, width] each.
MaskBlocks = Callable[[tuple[int, int]], Iterable[np.ndarray]]


class SparseWeight(abc.ABC):
    """One trainable matrix of which a fixed number of positions is active.

    Off the mask the matrix is exactly zero at all times. `nnz` never changes:
    an exchange takes out as many positions as it puts in.

    Args:
      layer: the Keras layer that owns the variables.
      name: the weight's name within its layer.
      shape: (rows, width).
      mask: draws the first mask.
      nnz: the number of active positions, which `mask` draws.
      initializer: Keras initialiser of the active values.

    Attributes:
      name: as given.
      shape: as given.
      nnz: as given.
      use: real [rows], how often each row is used, or None.
      recorder: where gradients of the effective rows go, or None.
      watched: whether look-ups traced now feed the recorder.
      moments_of: the checksum of the mask that the optimiser's moments are of, and the
        optimiser's steps then; None before they were looked at.
    """

    use: np.ndarray | None = None
    recorder: GradientRecorder | None = None
    watched: bool = False
    moments_of: tuple[int, int] | None = None

    @abc.abstractmethod
    def __init__(
        self,
        layer: keras.layers.Layer,
        name: str,
        shape: tuple[int, int],
        mask: MaskBlocks,
        nnz: int,
        initializer: keras.initializers.Initializer,
    ) -> None:
        del layer, mask, initializer  # a storage makes its variables
        self.name = name
        self.shape = shape
        self.nnz = nnz

    @property
    @abc.abstractmethod
    def values(self) -> tf.Variable:
        """The trainable variable that the optimiser updates.

        Its gradient is the effective one at the active positions; Keras's `clipnorm`
        measures it before it sums what several look-ups of a row add to it.
        """

    @property
    @abc.abstractmethod
    def variables(self) -> list[tf.Variable]:
        """Everything that is stored: `values`, and what tells where they are."""

    @abc.abstractmethod
    def active(self) -> tf.Tensor:
        """The active values in the order of their positions, [nnz], differentiable."""

    @abc.abstractmethod
    def mask(self, rows: np.ndarray | None = None) -> np.ndarray:
        """The mask of `rows` (all if None), bool [rows, width]."""

    @abc.abstractmethod
    def checksum(self) -> int:
        """Of the mask, crc32 of what is stored of it."""

    @abc.abstractmethod
    def row_begin(self, rows: np.ndarray) -> np.ndarray:
        """Active positions before each of `rows`, in [0, number of rows], int [r]."""

    @abc.abstractmethod
    def reader(self, variable: tf.Variable) -> Callable[[int, int], np.ndarray]:
        """Reads what a variable holds at the active positions, in their order.

        Args:
          variable: `values`, or a slot of it.

        Returns:
          Maps start and stop, in [0, nnz], to an array [stop - start].
        """

    @abc.abstractmethod
    def assign(
        self,
        masks: Iterable[np.ndarray],
        variables: Iterable[tuple[Slot, Iterable[np.ndarray]]],
    ) -> None:
        """Take over a mask and what variables hold there.

        Args:
          masks: bool [block, width] from the first row to the last, with `nnz`
            active positions.
          variables: `values` or a slot of it, and its numbers at the active
            positions in blocks. Off the mask it gets its initial value.
        """

    @abc.abstractmethod
    def adopt(self, exchange: Exchange, slots: Sequence[Slot]) -> None:
        """Apply an exchange to the mask, the values and the optimiser's slots.

        Kept weights keep value and moments. Grown weights start at zero, their
        slots as the slot says.
        """

    @abc.abstractmethod
    def _rows(self, rows: tf.Tensor) -> tf.Tensor:
        """Effective rows [u, width] for unique `rows` [u].

        The gradient reaches `values` at active positions only.
        """

    @abc.abstractmethod
    def _dense(self, values: tf.Tensor) -> tf.Tensor:
        """All effective rows, of what `values` holds; its gradient is dense."""

    @abc.abstractmethod
    def _active_part(self, rows: tf.Tensor, dense: tf.Tensor) -> tf.Tensor:
        """What of `dense` [r, width] is active in `rows`, in the form of `values`.

        For the gradients of all rows, block by block, the results make up the
        gradient of `values`.
        """

    def lookup(self, rows: tf.Tensor) -> tf.Tensor:
        """Effective rows.

        Each distinct row is read once, in ascending order, and its gradient
        summed before it reaches the optimiser or the recorder, whatever the
        storage.

        Args:
          rows: int32 or int64 [...], each in [0, rows).

        Returns:
          [..., width].
        """
        unique, index = tf.unique(tf.reshape(rows, [-1]))
        order = tf.argsort(unique)
        index = tf.gather(tf.math.invert_permutation(order), index)
        shape = tf.concat([tf.shape(rows), [self.shape[1]]], axis=0)
        unique = tf.gather(unique, order)
        effective = self._recorded(unique, self._rows(unique))
        found = tf.reshape(tf.gather(effective, index), shape)
        found.set_shape(rows.shape.concatenate(self.shape[1]))
        return found

    def read(self) -> tf.Tensor:
        """The whole effective matrix, [rows, width], differentiable."""
        dense = self._dense(tf.convert_to_tensor(self.values))
        return self._recorded(tf.range(self.shape[0]), dense)

    def expansion(self) -> Expansion:
        """The whole effective matrix, for `expansion.through`.

        Of the gradient of the dense form two blocks of rows are in memory at a time:
        one is read while the next is computed.
        """
        recorder = self.recorder if self.watched else None

        def gradient(blocks: Iterator[tf.Tensor]) -> tf.Tensor:
            parts: list[tf.Tensor] = []
            waiting, start = None, 0
            while True:
                # In a graph nothing else would keep blocks from being computed long
                # before they are read.
                with tf.control_dependencies(parts[-2:-1]):
                    block = next(blocks, None)
                if block is None:
                    break
                rows = tf.range(start, start + block.shape[0])
                start += block.shape[0]
                if recorder is not None:
                    waiting = recorder.add_part(rows, block, waiting)
                with tf.control_dependencies(waiting or ()):
                    parts.append(self._active_part(rows, block))
            if recorder is not None and waiting is not None:
                recorder.settle(waiting)
            return tf.concat(parts, axis=0)

        values = tf.convert_to_tensor(self.values)
        return Expansion(self.shape[0], values, self._dense, gradient)

    def matmul(self, inputs: tf.Tensor, transpose: bool = False) -> tf.Tensor:
        """`inputs` times the effective matrix (or its transpose).

        Forward and backward go by blocks of rows, of which one at a time is in
        memory in its dense form: beside inputs and outputs, O(block · width) and
        the gradient of `values`.

        Args:
          inputs: [B, rows], or [B, width] with `transpose`.
          transpose: multiply by the transpose.

        Returns:
          [B, width], or [B, rows] with `transpose`.
        """
        rows, width = self.shape
        block = max(1, BLOCK_ELEMENTS // width)
        if rows <= block:
            table = tf.cast(self.read(), inputs.dtype)
            return tf.matmul(inputs, table, transpose_b=transpose)
        recorder = self.recorder if self.watched else None

        def record(rows: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
            if recorder is not None:
                recorder.add(rows, gradient)
            return self._active_part(rows, gradient)

        def matrix(rows: tf.Tensor) -> tf.Tensor:
            # The backward pass is outside of what Keras casts for mixed precision.
            return tf.cast(self._rows(rows), inputs.dtype)

        by_blocks = products.matmul_transposed if transpose else products.matmul
        return by_blocks(inputs, matrix, record, rows, block)

    def square_sum(self) -> tf.Tensor:
        """Sum of squares of the active weights, a scalar."""
        return tf.reduce_sum(tf.square(self.active()))

    def active_values(self) -> np.ndarray:
        """The active values in the order of their positions, [nnz]."""
        return self.reader(self.values)(0, self.nnz)

    def mask_blocks(self) -> Iterator[np.ndarray]:
        """The mask from the first row to the last, bool [block, width] each."""
        rows, width = self.shape
        block = max(1, BLOCK_ELEMENTS // width)
        for start in range(0, rows, block):
            yield self.mask(np.arange(start, min(start + block, rows)))

    def positions(self) -> np.ndarray:
        """Active positions, int64 [nnz], ascending, row-major."""
        found, start = [], 0
        for mask in self.mask_blocks():
            found.append(np.flatnonzero(mask) + start)
            start += mask.size
        return np.concatenate(found)

    def _recorded(self, rows: tf.Tensor, effective: tf.Tensor) -> tf.Tensor:
        """Effective rows, whose gradient the recorder sees where one is listening."""
        if self.recorder is None or not self.watched:
            return effective
        return self.recorder.watch(rows, effective)

    @property
    def sparsity(self) -> float:
        """The share of positions pruned."""
        return 1.0 - self.nnz / (self.shape[0] * self.shape[1])
