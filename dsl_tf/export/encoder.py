"""User vectors made of the items of a history, as an autoencoder does."""

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.export.codings import nbytes
from dsl_tf.export.layouts import store


@dataclasses.dataclass(frozen=True)
class Encoder:
    """What makes user vectors of histories; everything of items is by position.

    Attributes:
      items: float32 [num_items, h], what an item adds to its users.
      users: float32 [num_users, h], what a user adds beside the items, zero for a
        user who was not trained on; None where the backbone has no such rows.
      counts: int32 [num_users], how many items of each history in `FrozenModel`,
        the first ones, the user's vector is made of.
      encode: `(sums [B, h], counts [B], rows of users [B, h] or None) ->
        user vectors [B, du]`, of the summed rows of items and their number.
        Without items a vector is zero.
    """

    items: scipy.sparse.csr_matrix
    users: scipy.sparse.csr_matrix | None
    counts: np.ndarray
    encode: Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tf.Tensor]

    @property
    def width(self) -> int:
        """The width h of the rows."""
        return self.items.shape[1]


class HistoryEncoder(tf.Module):
    """An encoder whose rows of items are stored as an exported graph has them.

    Args:
      encoder: what it does.
      coding: of the rows, a name in `codings.CODINGS`.
    """

    def __init__(self, encoder: Encoder, coding: str) -> None:
        super().__init__()
        self.items = store(encoder.items, coding, "small")
        self._encode = encoder.encode

    def vectors(
        self,
        positions: tf.Tensor,
        owners: tf.Tensor,
        count: tf.Tensor,
        user_rows: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """User vectors of several histories; not built into TFLite.

        Args:
          positions: int32 [n], items; none is twice in a history.
          owners: int32 [n], the history each belongs to, ascending.
          count: how many histories there are, B.
          user_rows: float32 [B, h]; None for users who were not trained on.

        Returns:
          float32 [B, du], zeros for an empty history.
        """
        # An item's row is built once, however many histories it is in.
        needed, places = tf.unique(positions)
        rows = self.items.rows(needed)
        sums = tf.sparse.segment_sum(rows, places, owners, num_segments=count)
        counts = tf.math.bincount(owners, minlength=count, maxlength=count)
        return self._encode(sums, tf.cast(counts, tf.float32), user_rows)

    def vector(self, positions: tf.Tensor) -> tf.Tensor:
        """The vector of one user who was not trained on, [1, du].

        Args:
          positions: int32 [n], different items; n may be 0.
        """
        # One row more, with weight 0: TFLite is not at ease with none.
        rows = self.items.rows(tf.concat([positions, [0]], 0))
        weights = tf.pad(tf.ones_like(positions, tf.float32), [[0, 1]])
        sums = tf.reduce_sum(weights[:, None] * rows, axis=0, keepdims=True)
        return self._encode(sums, tf.reduce_sum(weights, keepdims=True), None)


class EncodedUsers(tf.Module):
    """The vectors of the users of a model, made when they are asked for.

    It is read like a table of user vectors, which it saves.

    Args:
      encoder: what it does.
      history_offsets: int [num_users + 1], see `FrozenModel`.
      history: int32 [n], see `FrozenModel`.
    """

    def __init__(
        self,
        encoder: Encoder,
        history_offsets: tf.Tensor | tf.Variable,
        history: tf.Tensor | tf.Variable,
    ) -> None:
        super().__init__()
        self.encoder = HistoryEncoder(encoder, "float32")
        self.user_rows = None
        if encoder.users is not None:
            self.user_rows = store(encoder.users, "float32", "small")
        self.counts = tf.Variable(encoder.counts, trainable=False)
        self._history_offsets, self._history = history_offsets, history

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """The vectors of users: int [n] row numbers to float32 [n, du]."""
        begin = tf.gather(self._history_offsets, ids)
        steps = tf.ragged.range(begin, begin + tf.gather(self.counts, ids))
        return self.encoder.vectors(
            tf.gather(self._history, steps.values),
            tf.cast(steps.value_rowids(), tf.int32),
            tf.size(ids),
            None if self.user_rows is None else self.user_rows.rows(ids),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that vectors are made of."""
        rows = self.user_rows.nbytes if self.user_rows else 0
        return self.encoder.items.nbytes + rows

    @property
    def history_bytes(self) -> int:
        """Bytes of what tells which items of a history count."""
        return nbytes(self.counts)
