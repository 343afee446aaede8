"""Packed tables: the non-zeros of all rows in one vector, and where they belong."""

import abc
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.export.codings import INT16, UINT8, Coded, Extent, Packing, Vector
from dsl_tf.export.offsets import Offsets
from dsl_tf.export.tables import Table, first_columns

#: The bits of each byte, the first column in the lowest.
_BITS = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(np.bool_)

#: The greatest product that there can be is 2 to this power of units, unless there are
#: so many that their sum would need more than 63 bits.
_BITS_OF_PRODUCT = 40


class PackedTable(Table):
    """What the packed layouts share: values [nnz] and offsets.

    The values have one more element at the end, a zero.
    """

    def __init__(self, coded: Coded) -> None:
        super().__init__(coded)
        self.values = Vector(coded.packing, np.pad(coded.codes.data, (0, 1)))
        self.offsets = Offsets(coded.codes.indptr, self.width)
        self._largest = _largest(self.values, coded.codes.nnz)

    @abc.abstractmethod
    def _taken(
        self, vector: tf.Tensor, count: int
    ) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
        """What each non-zero of `count` rows is multiplied with.

        Args:
          vector: float32 [1, width].
          count: rows at once.

        Returns:
          A function of the first row, of the place of its first value and of
          the number n of values, to float32 [n + 1]; the last is any number.
        """

    def dot(self, vector: tf.Tensor, count: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """Inner products from prefix sums of the non-zeros: rows are not built.

        The sums run over `count` rows, so in float32 their error would grow with it,
        by a thousand times where products are of one sign. As whole numbers of a
        small unit they are exact; the error left is that of each product.
        """
        vector = self._in_steps(vector)
        taken = self._taken(vector, count)
        bits = min(_BITS_OF_PRODUCT, 62 - (count * self.width).bit_length())
        largest = tf.maximum(tf.reduce_max(tf.abs(vector)) * self._largest, 1e-20)
        unit = largest / 2.0**bits

        def scores(begin: tf.Tensor) -> tf.Tensor:
            offsets = self.offsets.span(begin, count + 1)
            first = offsets[0]
            number = offsets[count] - first
            values = self.values.span(first, number + 1)
            products = values * taken(begin, first, number)
            units = tf.cast(products * (1 / unit), tf.int64)
            sums = tf.gather(tf.cumsum(units, exclusive=True), offsets - first)
            # Not by `[1:]`, which takes TFLite ten times longer.
            of_rows = tf.slice(sums, [1], [count]) - tf.slice(sums, [0], [count])
            return self._scaled(tf.cast(of_rows[None, :], tf.float32) * unit, begin)

        return scores

    @staticmethod
    def values_and_offsets(extent: Extent) -> int:
        """Bytes that the layouts share."""
        values = extent.packing.nbytes(extent.nnz + 1)
        return values + Offsets.size(extent.rows, extent.width)


class BitmapTable(PackedTable):
    """One bit a position: set where the weight is not zero."""

    rows_at_once = 700
    graph_bytes = 11_000

    def __init__(self, coded: Coded) -> None:
        super().__init__(coded)
        bitmap = [
            np.packbits(block.toarray() != 0, axis=1, bitorder="little")
            for block in blocks_of_rows(coded.codes)
        ]
        self.bitmap = tf.Variable(np.concatenate(bitmap), trainable=False)

    def _decode(self, ids: tf.Tensor) -> tf.Tensor:
        bytes_ = tf.cast(tf.gather(self.bitmap, ids), tf.int32)
        bits = tf.cast(tf.gather(_BITS, bytes_), tf.int32)
        bits = tf.reshape(bits, [-1, 8 * self.bitmap.shape[1]])
        bits = first_columns(bits, self.width)
        place = self.offsets.at(ids)[:, None] + tf.cumsum(bits, axis=1) - 1
        values = self.values.at(tf.maximum(place, 0))
        return tf.where(tf.equal(bits, 1), values, 0.0)

    def _taken(
        self, vector: tf.Tensor, count: int
    ) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
        per_row = self.bitmap.shape[1]
        row = tf.pad(vector[0], [[0, 8 * per_row - self.width]])
        # The position after the last has its bit set, for the last number.
        rows = tf.concat([tf.tile(row, [count]), [0.0]], 0)

        def taken(begin: tf.Tensor, first: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            bytes_ = tf.slice(self.bitmap, [begin, 0], [count, per_row])
            bytes_ = tf.cast(tf.reshape(bytes_, [-1]), tf.int32)
            bits = tf.reshape(tf.gather(_BITS, bytes_), [-1])
            places = tf.where(tf.concat([bits, [True]], 0))
            return tf.gather(rows, tf.reshape(places, [-1]))

        return taken

    @staticmethod
    def size(extent: Extent) -> int:
        """Codes and offsets, and ceil(width / 8) bytes a row."""
        bitmap = extent.rows * -(-extent.width // 8)
        return PackedTable.values_and_offsets(extent) + bitmap


class ColumnsTable(PackedTable):
    """The column of each non-zero: a byte, or two in tables beyond 256 wide."""

    rows_at_once = 1000
    graph_bytes = 12_500

    def __init__(self, coded: Coded) -> None:
        super().__init__(coded)
        codes = coded.codes
        dtype = np.uint8 if self.width <= 256 else np.int16
        columns = np.pad(codes.indices, (0, 1)).astype(dtype)
        self.columns = Vector(columns_packing(self.width), columns)
        self.longest = int(np.diff(codes.indptr).max(initial=0))
        self.last = codes.nnz

    def _decode(self, ids: tf.Tensor) -> tf.Tensor:
        start, end = self.offsets.at(ids)[:, None], self.offsets.at(ids + 1)[:, None]
        place = start + tf.range(max(self.longest, 1))
        used = place < end
        place = tf.minimum(place, self.last)
        rows = tf.size(ids)
        cells = self.width * tf.range(rows)[:, None] + self.columns.at(place)
        # What a shorter row does not use falls into one more cell.
        cells = tf.where(used, cells, self.width * rows)
        values = tf.where(used, self.values.at(place), 0.0)
        flat = tf.scatter_nd(cells[..., None], values, [self.width * rows + 1])
        flat = tf.slice(flat, [0], [self.width * rows])
        return tf.reshape(flat, [-1, self.width])

    def _taken(
        self, vector: tf.Tensor, count: int
    ) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
        def taken(begin: tf.Tensor, first: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            return tf.gather(vector[0], self.columns.span(first, number + 1))

        return taken

    @staticmethod
    def size(extent: Extent) -> int:
        """Codes and offsets, and the column of each code."""
        columns = columns_packing(extent.width).nbytes(extent.nnz + 1)
        return PackedTable.values_and_offsets(extent) + columns


def columns_packing(width: int) -> Packing:
    """Of the columns of a table of this width."""
    return UINT8 if width <= 256 else INT16


def blocks_of_rows(
    matrix: scipy.sparse.csr_matrix, rows: int = 1 << 16
) -> Iterator[scipy.sparse.csr_matrix]:
    """The matrix, so many rows at a time."""
    for start in range(0, matrix.shape[0], rows):
        yield matrix[start : start + rows]


def _largest(values: Vector, number: int, at_once: int = 1 << 20) -> float:
    """The largest magnitude of the first numbers of a vector; 0 of none."""
    blocks = (
        values.span(tf.constant(start), min(at_once, number - start))
        for start in range(0, number, at_once)
    )
    return max((float(tf.reduce_max(tf.abs(block))) for block in blocks), default=0.0)
