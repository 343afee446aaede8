"""Collects the gradient of a weight's effective rows, for growth."""

import numpy as np
import tensorflow as tf

from dsl_tf.errors import UserError


class GradientRecorder(tf.Module):
    """Sums the gradient of the effective weight over steps, row by row.

    Growth needs the gradient where the weight is pruned, which the optimiser
    never sees. The backward pass of a look-up calls `watch`'s gradient;
    nothing is added unless `recording` is on, so ordinary steps cost nothing.

    TensorFlow cannot differentiate a `tf.while_loop` with such a side effect, so
    a look-up inside one (not the step inside one) cannot be recorded.

    At most `capacity` rows are held; when more come, the rows of least
    gradient norm leave. Memory is O(capacity · width) and 4 bytes a row.

    Args:
      rows: rows of the weight.
      width: columns of the weight.
      capacity: the most rows held.
      recording: whether the switch is on at first.
      share: of the rows, that are recorded at all; `resample` chooses them. With 1
        all are.

    Attributes:
      recording: bool variable, the switch.
    """

    def __init__(
        self,
        rows: int,
        width: int,
        capacity: int,
        recording: bool = False,
        share: float = 1.0,
    ) -> None:
        super().__init__(name="gradient_recorder")
        if capacity < 1:
            raise UserError(
                f"`recorder_rows` must be at least 1. Received: {capacity}."
            )
        if not 0 < share <= 1:
            raise UserError(f"`sampled_rows` must be in (0, 1]. Received: {share}.")
        self.capacity = min(capacity, rows)
        self.recording = tf.Variable(recording, trainable=False)
        self._count = tf.Variable(0, trainable=False)
        self._rows = tf.Variable(tf.zeros([self.capacity], tf.int64), trainable=False)
        self._sums = tf.Variable(tf.zeros([self.capacity, width]), trainable=False)
        self._place = tf.Variable(tf.fill([rows], -1), trainable=False)
        self._share = share
        self._sampled: tf.Variable | None = None
        if share < 1:
            self._sampled = tf.Variable(tf.zeros([rows], tf.bool), trainable=False)

    def resample(self, use: np.ndarray | None, generator: np.random.Generator) -> None:
        """Choose the rows that are recorded, if not all are.

        They are drawn without replacement, in proportion to their use.

        Args:
          use: real [rows], how often each row is used; None: all alike.
          generator: the source of randomness.
        """
        if self._sampled is None:
            return
        rows = self._sampled.shape[0]
        weight = np.zeros(rows) if use is None else np.log(np.maximum(use, 1e-9))
        # The largest sums with Gumbel noise are such a draw (Vieira 2014).
        key = weight + generator.gumbel(size=rows)
        count = max(1, round(self._share * rows))
        sampled = np.zeros(rows, bool)
        sampled[np.argpartition(-key, count - 1)[:count]] = True
        self._sampled.assign(sampled)

    def watch(self, rows: tf.Tensor, effective: tf.Tensor) -> tf.Tensor:
        """Identity whose backward pass adds the gradient to the record.

        Args:
          rows: int [u], row numbers, unique.
          effective: [u, width], the effective rows that were read.

        Returns:
          `effective`.
        """

        @tf.custom_gradient
        def watched(inputs: tf.Tensor):  # type: ignore[no-untyped-def]
            def backward(upstream: tf.Tensor) -> tf.Tensor:
                upstream = tf.convert_to_tensor(upstream)
                self.add(rows, upstream)
                return upstream

            return tf.identity(inputs), backward

        return watched(effective)

    def add(self, rows: tf.Tensor, gradient: tf.Tensor) -> None:
        """Add to the record, while `recording` is on.

        Args:
          rows: int [u], row numbers, unique.
          gradient: [u, width], of the effective rows.
        """
        tf.cond(
            self.recording,
            lambda: self._add(tf.cast(rows, tf.int64), tf.cast(gradient, tf.float32)),
            lambda: tf.constant(False),
        )

    def _add(self, rows: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
        # A step whose scaled loss overflows is skipped by the optimiser; its
        # gradient must not spoil the sum.
        gradient = tf.where(tf.math.is_finite(gradient), gradient, 0.0)
        if self._sampled is not None:
            kept = tf.gather(self._sampled, rows)
            rows = tf.boolean_mask(rows, kept)
            gradient = tf.boolean_mask(gradient, kept)
        new = tf.boolean_mask(rows, tf.gather(self._place, rows) < 0)
        count = self._count + tf.size(new)
        return tf.cond(
            count <= self.capacity,
            lambda: self._append(new, count, rows, gradient),
            lambda: self._merge(rows, gradient),
        )

    def _append(
        self, new: tf.Tensor, count: tf.Tensor, rows: tf.Tensor, gradient: tf.Tensor
    ) -> tf.Tensor:
        start = self._count.read_value()
        self._hold(new, start, count)
        width = self._sums.shape[1]
        self._sums[start:count].assign(tf.zeros([count - start, width]))
        place = tf.gather(self._place, rows)
        self._sums.scatter_add(tf.IndexedSlices(gradient, place))
        return tf.constant(True)

    def _merge(self, rows: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
        """Add where there is no room: only the rows of greatest norm stay."""
        held = self._count.read_value()
        unique, index = tf.unique(tf.concat([self._rows[:held], rows], axis=0))
        sums = tf.math.unsorted_segment_sum(
            tf.concat([self._sums[:held], gradient], axis=0), index, tf.size(unique)
        )
        norms = tf.reduce_sum(tf.square(sums), axis=1)
        best = tf.math.top_k(norms, self.capacity).indices
        self._place.assign(tf.fill(tf.shape(self._place), -1))
        self._hold(tf.gather(unique, best), tf.constant(0), tf.constant(self.capacity))
        self._sums.assign(tf.gather(sums, best))
        return tf.constant(True)

    def _hold(self, rows: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> None:
        """Give `rows` the places start..stop."""
        self._rows[start:stop].assign(rows)
        self._place.scatter_update(tf.IndexedSlices(tf.range(start, stop), rows))
        self._count.assign(stop)

    def recorded(self) -> tuple[tf.Tensor, tf.Tensor]:
        """What was added since `clear`.

        Returns:
          rows int64 [r], ascending, and summed gradients float32 [r, width].
        """
        count = self._count.read_value()
        order = tf.argsort(self._rows[:count])
        return tf.gather(self._rows, order), tf.gather(self._sums, order)

    def clear(self) -> None:
        """Forget everything; the switch stays as it is. Sums are reset when reused."""
        self._place.assign(tf.fill(tf.shape(self._place), -1))
        self._count.assign(0)
