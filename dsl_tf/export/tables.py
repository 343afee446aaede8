"""Tables as an exported graph stores them: dense, or packed with a bitmap or columns.

A table is a layout of codes (`codings`), so each layout works with each coding.
All decode only what is asked for. Decoding must depend on a value known at run
time only (an id, a loop's counter): the converter folds the decoding of a whole
constant back into a float32 table.
"""

import abc
from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

from dsl_tf.export.codings import BFLOAT16, Coded, Extent, Vector, nbytes
from dsl_tf.export.quantize import bfloat16_bits


class Rows(Protocol):
    """Vectors that are read by their number, stored or made."""

    @property
    def nbytes(self) -> int:
        """Bytes of what is stored."""

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """The vectors of valid ids: int [n] to float32 [n, width]."""


class Table(tf.Module, abc.ABC):
    """A frozen matrix.

    Args:
      coded: its codes and their scale.

    Attributes:
      rows_at_once: how many rows `dot` best takes. Tensors of a TFLite loop lie
        on the heap, so memory grows with it; a round of the loop has its price.
        At 100,000 x 64, 80 % sparse, on one thread: bitmap 500 rows 30 ms, 1,000
        28 ms and 1.5 times the heap; columns 500 rows 11.9 ms, 1,000 10.2 ms.
      graph_bytes: what the operations that read it take in a `.tflite` file, more than
        those of a dense table, about.
    """

    rows_at_once = 500
    graph_bytes = 0

    def __init__(self, coded: Coded) -> None:
        super().__init__()
        self.width = coded.codes.shape[1]
        self.packing = coded.packing
        self.scale = None
        if coded.scale is not None:
            self.scale = Vector(BFLOAT16, bfloat16_bits(coded.scale))
        self.steps = None
        if coded.steps is not None:
            self.steps = tf.Variable(coded.steps, trainable=False)

    @abc.abstractmethod
    def _decode(self, ids: tf.Tensor) -> tf.Tensor:
        """The rows of ids int32 [n], without their scale."""

    @staticmethod
    @abc.abstractmethod
    def size(extent: Extent) -> int:
        """`nbytes` of a table of this extent, by formula, but for `scale_bytes`."""

    @property
    def nbytes(self) -> int:
        """Bytes of what is stored."""
        return sum(nbytes(variable) for variable in self.variables)

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """The rows of valid ids: int [n] to float32 [n, width]."""
        ids = tf.cast(ids, tf.int32)
        rows = self._decode(ids)
        if self.steps is not None:
            rows *= self.steps
        return rows if self.scale is None else rows * self.scale.at(ids)[:, None]

    def dot(self, vector: tf.Tensor, count: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """Inner products of a vector with consecutive rows.

        Args:
          vector: float32 [1, width].
          count: rows at once.

        Returns:
          A function of the first row, an int32 scalar, to float32 [1, count].
        """
        vector = self._in_steps(vector)

        def scores(begin: tf.Tensor) -> tf.Tensor:
            rows = self._decode(begin + tf.range(count))
            return self._scaled(tf.matmul(vector, rows, transpose_b=True), begin)

        return scores

    def _in_steps(self, vector: tf.Tensor) -> tf.Tensor:
        """What codes are multiplied with, so that nobody has to multiply them first."""
        return vector if self.steps is None else vector * self.steps

    def _scaled(self, scores: tf.Tensor, begin: tf.Tensor) -> tf.Tensor:
        """Products [1, n] of the codes of rows from `begin`, with the scales."""
        if self.scale is None:
            return scores
        return scores * self.scale.span(begin, scores.shape[1])


class DenseTable(Table):
    """All weights, also the zeros."""

    def __init__(self, coded: Coded) -> None:
        super().__init__(coded)
        missing = -self.width % self.packing.per
        codes = np.pad(coded.codes.toarray(), [(0, 0), (0, missing)])
        units = self.packing.pack(codes)
        self.units = tf.Variable(units, trainable=False)

    def _decode(self, ids: tf.Tensor) -> tf.Tensor:
        numbers = self.packing.unpack(tf.gather(self.units, ids))
        if self.packing.per == 1:
            return numbers
        padded = self.units.shape[1] * self.packing.per
        return first_columns(tf.reshape(numbers, [-1, padded]), self.width)

    @staticmethod
    def size(extent: Extent) -> int:
        """The codes of every row, each row in whole units."""
        return extent.rows * extent.packing.nbytes(extent.width)


def first_columns(rows: tf.Tensor, width: int) -> tf.Tensor:
    """[n, width] of [n, width or more].

    Not by `[:, :width]`, which takes TFLite ten times longer.
    """
    return rows if rows.shape[1] == width else tf.slice(rows, [0, 0], [-1, width])


def narrow(values: np.ndarray) -> np.ndarray:
    """The same integers as int16 where they all fit, else as int32."""
    limits = np.iinfo(np.int16)
    fits = values.size == 0 or (
        values.min() >= limits.min and values.max() <= limits.max
    )
    return values.astype(np.int16 if fits else np.int32)
