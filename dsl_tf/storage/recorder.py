"""Collects the gradient of a weight's effective rows, for growth."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dsl_tf.errors import UserError

#: Rows int64 [r] that found no room, and their gradients float32 [r, width].
Waiting = tuple[tf.Tensor, tf.Tensor]


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
      loss_scale: gives what the loss of a step that is traced now is multiplied by,
        and gradients are divided by before they are summed; None: nothing.
    """

    loss_scale: Callable[[], tf.Tensor] | None = None

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
        self._drawn = max(1, round(share * rows))
        self.capacity = min(capacity, self._drawn)
        self.recording = tf.Variable(recording, trainable=False)
        self._count = tf.Variable(0, trainable=False)
        self._rows = tf.Variable(tf.zeros([self.capacity], tf.int64), trainable=False)
        self._sums = tf.Variable(tf.zeros([self.capacity, width]), trainable=False)
        self._place = tf.Variable(tf.fill([rows], -1), trainable=False)
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
        sampled = np.zeros(rows, bool)
        sampled[np.argpartition(-key, self._drawn - 1)[: self._drawn]] = True
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
        self.settle(self.add_part(rows, gradient))

    def add_part(
        self, rows: tf.Tensor, gradient: tf.Tensor, waiting: Waiting | None = None
    ) -> Waiting:
        """Like `add`, for the rows of a step that come in several parts.

        No row leaves the record before all that stay have got their gradient of the
        step: those that find no room have to wait for `settle`. There are never more
        than `capacity` of them.

        Args:
          rows: int [u], row numbers; none comes twice in a step.
          gradient: [u, width], of the effective rows.
          waiting: what the part before returned; None for the first.

        Returns:
          The rows that wait.
        """
        width = self._sums.shape[1]
        before = waiting or (tf.zeros([0], tf.int64), tf.zeros([0, width]))
        gradient = tf.cast(gradient, tf.float32)
        if self.loss_scale is not None:
            gradient /= self.loss_scale()
        added: Waiting = self._if_recording(tf.cast(rows, tf.int64), gradient, before)
        return added

    def settle(self, waiting: Waiting) -> None:
        """Hold those of the held and the waiting rows that are of greatest norm."""
        tf.cond(
            tf.size(waiting[0]) > 0,
            lambda: self._exchange(*waiting),
            lambda: tf.constant(False),
        )

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None, None], tf.float32),
            (
                tf.TensorSpec([None], tf.int64),
                tf.TensorSpec([None, None], tf.float32),
            ),
        ],
        autograph=False,
        # One graph for all parts of a step, of which there may be many.
        experimental_attributes={"_noinline": True},
    )
    def _if_recording(
        self, rows: tf.Tensor, gradient: tf.Tensor, waiting: Waiting
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cond(
            self.recording,
            lambda: self._add(rows, gradient, waiting),
            lambda: waiting,
        )

    def _add(
        self, rows: tf.Tensor, gradient: tf.Tensor, waiting: Waiting
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # A step whose scaled loss overflows is skipped by the optimiser; its
        # gradient must not be in the sum.
        finite = tf.reduce_all(tf.math.is_finite(gradient))
        gradient = tf.where(finite, gradient, 0.0)
        if self._sampled is not None:
            kept = tf.gather(self._sampled, rows)
            rows = tf.boolean_mask(rows, kept)
            gradient = tf.boolean_mask(gradient, kept)
        new = tf.boolean_mask(rows, tf.gather(self._place, rows) < 0)
        room = self.capacity - self._count
        self._append(new[:room])
        place = tf.gather(self._place, rows)

        def all_held() -> tuple[tf.Tensor, tf.Tensor]:
            self._sums.scatter_add(tf.IndexedSlices(gradient, place))
            return waiting

        def some_held() -> tuple[tf.Tensor, tf.Tensor]:
            held = place >= 0
            self._sums.scatter_add(
                tf.IndexedSlices(
                    tf.boolean_mask(gradient, held), tf.boolean_mask(place, held)
                )
            )
            return self._greatest(
                tf.concat([waiting[0], tf.boolean_mask(rows, ~held)], axis=0),
                tf.concat([waiting[1], tf.boolean_mask(gradient, ~held)], axis=0),
            )

        return tf.cond(tf.size(new) <= room, all_held, some_held)

    def _greatest(
        self, rows: tf.Tensor, gradient: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The `capacity` rows of greatest norm: no other can be held in the end."""

        def greatest() -> tuple[tf.Tensor, tf.Tensor]:
            best = tf.math.top_k(_square_sums(gradient), self.capacity).indices
            return tf.gather(rows, best), tf.gather(gradient, best)

        return tf.cond(
            tf.size(rows) > self.capacity, greatest, lambda: (rows, gradient)
        )

    def _append(self, rows: tf.Tensor) -> None:
        """Hold rows that are new, with sums of zero."""
        start = self._count.read_value()
        stop = start + tf.size(rows)
        self._rows[start:stop].assign(rows)
        self._sums[start:stop].assign(tf.zeros([stop - start, self._sums.shape[1]]))
        self._place.scatter_update(tf.IndexedSlices(tf.range(start, stop), rows))
        self._count.assign(stop)

    def _exchange(self, rows: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
        """Let rows in for as many that are held; there is no room left."""
        norms = tf.concat([_square_sums(self._sums), _square_sums(gradient)], axis=0)
        best = tf.math.top_k(norms, self.capacity).indices
        stays = tf.scatter_nd(best[:, None], tf.ones_like(best), tf.shape(norms)) > 0
        place = tf.cast(tf.where(~stays[: self.capacity])[:, 0], tf.int32)
        enter = stays[self.capacity :]
        rows, gradient = tf.boolean_mask(rows, enter), tf.boolean_mask(gradient, enter)
        gone = tf.gather(self._rows, place)
        self._place.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(gone), -1), gone))
        self._place.scatter_update(tf.IndexedSlices(place, rows))
        self._rows.scatter_update(tf.IndexedSlices(rows, place))
        self._sums.scatter_update(tf.IndexedSlices(gradient, place))
        return tf.constant(True)

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


def _square_sums(rows: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(rows), axis=1)
