"""How numbers lie in an exported file: one by one, or two in a unit.

The narrow ones are chosen for what TFLite does fast, and without widening the
table when it is loaded. Two int16 lie in an int32, since int16 cannot be sliced;
half precision is stored as bits, since a float16 constant would be widened
whole before anything is gathered from it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.export.quantize import (
    INT4_LIMIT,
    INT8_LIMIT,
    column_steps,
    half_bits,
    quantize_rows,
)
from dsl_tf.layers.rounding import Rounding

#: The two int4 of each byte, the first in its low half.
_NIBBLES = np.stack([np.arange(256) % 16, np.arange(256) // 16], axis=1)
_NIBBLES = np.where(_NIBBLES < 8, _NIBBLES, _NIBBLES - 16).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Packing:
    """A form of numbers in units of fixed size.

    Attributes:
      per: numbers in a unit, 1 or 2.
      unit_bytes: bytes of a unit.
      pack: numbers [..., n], n a multiple of `per`, to units [..., n / per].
      unpack: units as a tensor [...] to numbers, float32 or int32 [...], with
        an axis of `per` added if that is 2.
    """

    per: int
    unit_bytes: int
    pack: Callable[[np.ndarray], np.ndarray]
    unpack: Callable[[tf.Tensor], tf.Tensor]

    def nbytes(self, count: int) -> int:
        """Bytes of so many numbers."""
        return -(-count // self.per) * self.unit_bytes


def _words(values: np.ndarray) -> np.ndarray:
    """Pairs of int16 as little-endian int32."""
    return np.ascontiguousarray(values, "<i2").view("<i4")


def _nibbles(codes: np.ndarray) -> np.ndarray:
    """Pairs of codes in [-8, 8) as bytes."""
    halves = codes.astype(np.uint8) & 15
    return halves[..., ::2] | halves[..., 1::2] << 4


def _int16(words: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.bitcast(words, tf.int16), tf.int32)


#: Forms of weights, of scales, of offsets and of columns.
FLOAT32 = Packing(1, 4, np.asarray, tf.identity)
FLOAT16 = Packing(2, 4, _words, lambda x: tf.cast(tf.bitcast(x, tf.float16), "float32"))
BFLOAT16 = Packing(2, 4, _words, lambda x: tf.bitcast(_int16(x) * 65536, tf.float32))
INT16 = Packing(2, 4, _words, _int16)
INT8 = Packing(1, 1, np.asarray, lambda x: tf.cast(x, tf.float32))
INT4 = Packing(2, 1, _nibbles, lambda x: tf.gather(_NIBBLES, tf.cast(x, tf.int32)))
UINT8 = Packing(1, 1, np.asarray, lambda x: tf.cast(x, tf.int32))


class Vector(tf.Module):
    """A constant vector of numbers that are read where they are needed.

    Args:
      packing: its form in the file.
      values: [n], what `packing.pack` takes.
    """

    def __init__(self, packing: Packing, values: np.ndarray) -> None:
        super().__init__()
        # No operation reads from a tensor without elements.
        missing = max(-len(values) % packing.per, packing.per * (len(values) == 0))
        units = packing.pack(np.pad(values, (0, missing)))
        self.packing = packing
        self.units = tf.Variable(units, trainable=False)

    def at(self, index: tf.Tensor) -> tf.Tensor:
        """The numbers at any places, int32 [...] to [...]."""
        per, unpack = self.packing.per, self.packing.unpack
        if per == 1:
            return unpack(tf.gather(self.units, index))
        unit = index // per
        first, second = tf.unstack(unpack(tf.gather(self.units, unit)), axis=-1)
        return tf.where(tf.equal(index, per * unit), first, second)

    def span(self, begin: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
        """`count` numbers from place `begin` on: much faster than `at`."""
        per, unpack = self.packing.per, self.packing.unpack
        first = begin // per
        units = (begin + count + per - 1) // per - first
        numbers = unpack(tf.slice(self.units, [first], [units]))
        if per == 1:
            return numbers
        return tf.slice(tf.reshape(numbers, [-1]), [begin - per * first], [count])


class Extent(NamedTuple):
    """What the bytes of a table depend on, in whatever layout.

    Attributes:
      rows: of the table.
      width: its columns.
      nnz: codes that are not zero.
      packing: of the codes.
      scale_bytes: of what codes are multiplied with.
    """

    rows: int
    width: int
    nnz: int
    packing: Packing
    scale_bytes: int


class Coded(NamedTuple):
    """A table whose weights are codes.

    Attributes:
      codes: [rows, width], what `packing.pack` takes; weights that became 0 are
        left out, columns ascend in each row.
      scale: float32 [rows], what the codes of a row are multiplied with, in
        bfloat16's range of values; None where that is 1.
      packing: of the codes.
      steps: float32 [width], what the codes of a column are multiplied with; None
        where that is 1.
    """

    codes: scipy.sparse.csr_matrix
    scale: np.ndarray | None
    packing: Packing
    steps: np.ndarray | None = None

    @property
    def extent(self) -> Extent:
        rows, width = self.codes.shape
        # Of rows two bytes each, and two of them a unit.
        scale = 0 if self.scale is None else BFLOAT16.nbytes(rows)
        steps = 0 if self.steps is None else FLOAT32.nbytes(width)
        return Extent(rows, width, self.codes.nnz, self.packing, scale + steps)


def _half(table: scipy.sparse.csr_matrix) -> tuple[np.ndarray, None]:
    return half_bits(table.data), None


#: Name to the packing, and to a function of a table to its codes and scale.
CODINGS: dict[str, tuple[Packing, Callable[[scipy.sparse.csr_matrix], Any]]] = {
    "float32": (FLOAT32, lambda table: (table.data, None)),
    "float16": (FLOAT16, _half),
    "int8": (INT8, lambda table: quantize_rows(table, INT8_LIMIT)),
    "int4": (INT4, lambda table: quantize_rows(table, INT4_LIMIT)),
}


#: The largest codes of the codings that have whole ones.
_LIMITS = {"int8": INT8_LIMIT, "int4": INT4_LIMIT}


def encode(
    table: scipy.sparse.csr_matrix, coding: str, roundings: Sequence[Rounding] = ()
) -> Coded:
    """The codes of a table.

    Args:
      table: float32 [rows, width], columns ascending in each row.
      coding: a name in `CODINGS`.
      roundings: that training had. Where each column is of whole multiples of one of
        them, of as many as the coding has, these are the codes: they lose nothing, and
        rows need no scale.
    """
    packing, quantize = CODINGS[coding]
    limit = _LIMITS.get(coding, 0)
    # A step of zero is that of a table without a weight that is not zero.
    candidates = [r.step for r in roundings if r.largest_code == limit and r.step]
    steps = column_steps(table, candidates, limit)
    if steps is None:
        values, scale = quantize(table)
    else:
        values, scale = np.rint(table.data / steps[table.indices]), None
        values = values.astype(np.int8)
    codes = scipy.sparse.csr_matrix(
        (values, table.indices, table.indptr), table.shape, copy=not values.all()
    )
    codes.eliminate_zeros()
    return Coded(codes, scale, packing, steps)


def nbytes(variable: tf.Variable) -> int:
    """Bytes of a variable's elements."""
    return int(variable.shape.num_elements() * variable.dtype.size)
