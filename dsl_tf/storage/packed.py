"""Non-zero values, a bitmap and row offsets: memory falls with the sparsity.

A weight of nnz active positions in [rows, width] takes 4 bytes an active
position (and as much in each of the optimiser's slots), a bit a position and
4 bytes a row. Look-ups, products, their gradients, the optimiser and explorations
make no tensor of the shape [rows, width]; only `read` does.
"""

import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.storage.base import MaskBlocks, SparseWeight
from dsl_tf.storage.initial import row_blocks
from dsl_tf.storage.slots import Slot
from dsl_tf.types import Exchange

#: Bits of each byte, lowest first.
_BITS = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(bool)

#: Elements of a variable that are moved at a time.
_CHUNK = 1 << 20


class PackedWeight(SparseWeight):
    """Three variables of the layer.

    `<name>` float [nnz], the active values in the order of their positions;
    `<name>_bitmap` uint8 [rows, ceil(width / 8)], bit j % 8 of byte j // 8 tells
    whether column j is active; `<name>_offsets` int [rows + 1], the active
    positions in all the rows before each.
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
        bitmap, offsets = _pack(mask(shape), shape, nnz)

        def initial_values(_: Sequence[int], dtype: tf.DType) -> tf.Tensor:
            values = np.empty(nnz, dtype.as_numpy_dtype)
            for start, block in row_blocks(shape, initializer):
                stop = start + block.shape[0]
                active = _unpack(bitmap[start:stop], shape[1])
                values[offsets[start] : offsets[stop]] = block.numpy()[active]
            return tf.convert_to_tensor(values)

        with tf.init_scope():  # it may be built while `fit` traces
            self._bitmap = layer.add_weight(
                name=f"{name}_bitmap",
                shape=bitmap.shape,
                dtype=tf.uint8,
                initializer=lambda *_, **__: tf.convert_to_tensor(bitmap),
                trainable=False,
            )
            self._offsets = layer.add_weight(
                name=f"{name}_offsets",
                shape=offsets.shape,
                dtype=tf.as_dtype(offsets.dtype),
                initializer=lambda *_, **__: tf.convert_to_tensor(offsets),
                trainable=False,
            )
            self._values = layer.add_weight(
                name=name, shape=[nnz], initializer=initial_values
            )

    @property
    def values(self) -> tf.Variable:
        return self._values

    @property
    def variables(self) -> list[tf.Variable]:
        return [self._values, self._bitmap, self._offsets]

    def active(self) -> tf.Tensor:
        return tf.convert_to_tensor(self._values)

    def mask(self, rows: np.ndarray | None = None) -> np.ndarray:
        bitmap = self._bitmap if rows is None else tf.gather(self._bitmap, rows)
        return _unpack(bitmap.numpy(), self.shape[1])

    def checksum(self) -> int:
        return zlib.crc32(self._bitmap.numpy().data)

    def row_begin(self, rows: np.ndarray) -> np.ndarray:
        begin: np.ndarray = tf.gather(self._offsets, rows).numpy()
        return begin

    def reader(self, variable: tf.Variable) -> Callable[[int, int], np.ndarray]:
        places = self._offsets.dtype  # narrow where it can be: it takes half the time

        def read(start: int, stop: int) -> np.ndarray:
            # A gather, since a slice would copy the whole variable first.
            wanted = tf.range(start, stop, dtype=places)
            part: np.ndarray = tf.gather(variable, wanted).numpy()
            return part

        return read

    def assign(
        self,
        masks: Iterable[np.ndarray],
        variables: Iterable[tuple[Slot, Iterable[np.ndarray]]],
    ) -> None:
        bitmap, offsets = _pack(masks, self.shape, self.nnz)
        self._bitmap.assign(bitmap)
        self._offsets.assign(offsets)
        for (variable, *_), blocks in variables:
            start = 0
            for block in blocks:
                _write(variable, start, block)
                start += len(block)

    def adopt(self, exchange: Exchange, slots: Sequence[Slot]) -> None:
        grown = self._move_mask(exchange)
        self._move([Slot(self._values, 0.0), *slots], exchange.pruned, grown)

    def _rows(self, rows: tf.Tensor) -> tf.Tensor:
        begin, end = tf.gather(self._offsets, rows), tf.gather(self._offsets, rows + 1)
        places = tf.ragged.range(begin, end).values
        return _expand(tf.gather(self._values, places), self._bits(rows))

    def _dense(self, values: tf.Tensor) -> tf.Tensor:
        # All values are wanted in their order: nothing to gather.
        return _expand(values, _unpacked(self._bitmap, self.shape[1]))

    def _active_part(self, rows: tf.Tensor, dense: tf.Tensor) -> tf.Tensor:
        # Two thirds of the time of `tf.boolean_mask`, which makes a list of places.
        return tf.dynamic_partition(dense, tf.cast(self._bits(rows), tf.int32), 2)[1]

    def _bits(self, rows: tf.Tensor) -> tf.Tensor:
        """The mask of rows, bool [u, width]."""
        return _unpacked(tf.gather(self._bitmap, rows), self.shape[1])

    def _move_mask(self, exchange: Exchange) -> np.ndarray:
        """Give bitmap and offsets their new state, a block of rows at a time.

        Returns:
          int64, ascending: the grown ones' places among the active weights.
        """
        rows, width = self.shape
        bitmap, offsets = self._bitmap.numpy(), self._offsets.numpy()
        block = max(1, _CHUNK // width)
        counts = np.empty(rows, offsets.dtype)
        places, before = [], 0
        for start in range(0, rows, block):
            stop = min(start + block, rows)
            active = _unpack(bitmap[start:stop], width)
            flat = active.reshape(-1)
            leave = _within(exchange.pruned, offsets[start], offsets[stop])
            enter = _within(exchange.grown, start * width, stop * width)
            if len(leave) or len(enter):
                flat[np.flatnonzero(flat)[leave]] = False
                flat[enter] = True
                bitmap[start:stop] = np.packbits(active, axis=1, bitorder="little")
                places.append(before + np.searchsorted(np.flatnonzero(flat), enter))
            counts[start:stop] = np.count_nonzero(active, axis=1)
            before += int(counts[start:stop].sum())
        np.cumsum(counts, out=offsets[1:])
        self._bitmap.assign(bitmap)
        self._offsets.assign(offsets)
        return np.concatenate(places) if places else np.zeros(0, np.int64)

    def _move(
        self, slots: Sequence[Slot], pruned: np.ndarray, grown: np.ndarray
    ) -> None:
        """Close the gaps of the pruned and open gaps for the grown, in place."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            moved = [pool.submit(self._move_one, s, pruned, grown) for s in slots]
            for each in moved:
                each.result()

    def _move_one(self, slot: Slot, pruned: np.ndarray, grown: np.ndarray) -> None:
        """A chunk is written when all that it overwrites has been read.

        So memory is a chunk and what has moved so far, not a second variable.
        """
        variable, initial, _, of_grown = slot
        reader = self.reader(variable)
        waiting = np.empty(0, variable.dtype.as_numpy_dtype)
        read = 0
        for start in range(0, self.nnz, _CHUNK):
            stop = min(start + _CHUNK, self.nnz)
            is_new = np.zeros(stop - start, bool)
            is_new[_within(grown, start, stop)] = True
            stays = np.flatnonzero(~is_new)
            while read < stop or len(waiting) < len(stays):
                end = min(read + _CHUNK, self.nnz)
                left = np.ones(end - read, bool)
                left[_within(pruned, read, end)] = False
                waiting = np.concatenate([waiting, reader(read, end)[left]])
                read = end
            moved = np.full(stop - start, initial, waiting.dtype)
            if of_grown is not None:
                first, last = np.searchsorted(grown, [start, stop])
                moved[is_new] = of_grown[first:last]
            moved[stays] = waiting[: len(stays)]
            waiting = waiting[len(stays) :]
            _write(variable, start, moved)


@tf.custom_gradient
def _expand(values: tf.Tensor, bits: tf.Tensor):  # type: ignore[no-untyped-def]
    """Put values [a] where bits [u, width] are set, in their order; zero elsewhere."""
    positions = tf.where(tf.reshape(bits, [-1]))[:, 0]
    # Twenty times faster than `tf.scatter_nd`.
    rows = tf.raw_ops.SparseToDense(
        sparse_indices=positions,
        output_shape=tf.size(bits, tf.int64)[None],
        sparse_values=values,
        default_value=tf.zeros([], values.dtype),
        validate_indices=False,  # they are in order
    )

    def backward(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return tf.gather(tf.reshape(upstream, [-1]), positions), None

    return tf.reshape(rows, tf.shape(bits)), backward


def _pack(
    masks: Iterable[np.ndarray], shape: tuple[int, int], nnz: int
) -> tuple[np.ndarray, np.ndarray]:
    """The bitmap uint8 [rows, ceil(width / 8)] and offsets [rows + 1] of a mask."""
    rows, width = shape
    bitmap = np.empty((rows, -(-width // 8)), np.uint8)
    offsets = np.zeros(
        rows + 1, np.int32 if nnz <= np.iinfo(np.int32).max else np.int64
    )
    start = 0
    for mask in masks:
        stop = start + len(mask)
        bitmap[start:stop] = np.packbits(mask, axis=1, bitorder="little")
        offsets[start + 1 : stop + 1] = np.count_nonzero(mask, axis=1)
        start = stop
    np.cumsum(offsets, out=offsets)
    if (start, offsets[-1]) != (rows, nnz):
        raise ValueError(
            f"The mask must have {rows} rows and {nnz} active positions. Received: "
            f"{start} and {offsets[-1]}."
        )
    return bitmap, offsets


def _unpacked(bitmap: tf.Tensor, width: int) -> tf.Tensor:
    """Like `_unpack`, in TensorFlow."""
    bits = tf.gather(_BITS, tf.cast(bitmap, tf.int32))
    return tf.reshape(bits, [-1, 8 * bitmap.shape[1]])[:, :width]


def _unpack(bitmap: np.ndarray, width: int) -> np.ndarray:
    """The mask of rows: uint8 [n, ceil(width / 8)] to bool [n, width]."""
    bits = np.unpackbits(bitmap, axis=1, count=width, bitorder="little")
    return bits.view(bool)


def _write(variable: tf.Variable, start: int, block: np.ndarray) -> None:
    """Assign a block of a vector; also where Keras has wrapped it to cast it."""
    tf.raw_ops.ResourceStridedSliceAssign(
        ref=variable.handle,
        begin=[start],
        end=[start + len(block)],
        strides=[1],
        value=np.asarray(block, variable.dtype.as_numpy_dtype),
    )


def _within(ascending: np.ndarray, start: int, stop: int) -> np.ndarray:
    """The numbers in [start, stop), counted from `start`."""
    first, last = np.searchsorted(ascending, [start, stop])
    return ascending[first:last] - start
