"""Top-k over all items in blocks, the common part of both served forms."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dsl_tf.export.frozen import FrozenModel
from dsl_tf.export.tables import Table, narrow

#: Marks an item that must not be recommended while a ranking is made. Not -inf,
#: for which the converter puts this very number in constants.
EXCLUDED = float(np.finfo(np.float32).min)


class Ranker(tf.Module):
    """Ranks the frozen items for given user vectors.

    Args:
      frozen: the model to serve.
      items: its item table, by position.
      k: length of a ranking.
    """

    def __init__(self, frozen: FrozenModel, items: Table, k: int):
        super().__init__()
        self.k = k
        self.num_items = frozen.num_items
        self.items = items
        self.order = tf.Variable(narrow(frozen.order), trainable=False)
        self.popularity = tf.Variable(narrow(frozen.popularity), trainable=False)
        self.interaction = frozen.interaction
        # Tracked, so that a SavedModel holds what `interaction` captures.
        self.network = frozen.network

    def rank(
        self,
        vectors: tf.Tensor,
        known: tf.Tensor,
        exclude: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        block: int | tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The k best items of each user, by score, then by `order`.

        Items are scored `block` at a time, so that neither the item table nor
        the activations of the interaction exist for all items at once.

        Args:
          vectors: float32 [B, du].
          known: bool [B]; False ranks by popularity, and so does a vector of
            zeros, whose scores would say nothing.
          exclude: takes the scores [B, block] of a block and its positions
            int32 [block], which are consecutive; returns the scores with
            `EXCLUDED` where an item is not wanted.
          block: items scored at once, from 1 to `num_items`.

        Returns:
          `item_ids` int32 [B, k], -1 where fewer than k items are left, and
          `scores` float32 [B, k], -inf there.
        """
        shape = [tf.shape(vectors)[0], self.k]
        known = usable(vectors, known)

        def score_block(positions: tf.Tensor) -> tf.Tensor:
            scores = self.interaction(vectors, self.items.rows(positions))
            counts = tf.cast(tf.gather(self.popularity, positions), tf.float32)
            return exclude(tf.where(known[:, None], scores, counts), positions)

        def step(
            begin: tf.Tensor, best: tf.Tensor, positions: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            # The last block is moved back to end with the table: a block of
            # fixed size is what TFLite handles well. What it shares with the
            # block before has been ranked already.
            here = tf.minimum(begin, self.num_items - block) + tf.range(block)
            scores = tf.where(here >= begin, score_block(here), EXCLUDED)
            # The best so far stand first, being earlier in `order`.
            best, index = tf.math.top_k(tf.concat([best, scores], 1), self.k)
            here = tf.broadcast_to(here, tf.shape(scores))
            merged = tf.concat([positions, here], 1)
            positions = tf.gather(merged, index, batch_dims=1)
            return begin + block, best, positions

        _, scores, positions = tf.while_loop(
            lambda begin, *_: begin < self.num_items,
            step,
            (
                tf.constant(0),
                tf.fill(shape, EXCLUDED),
                tf.zeros(shape, tf.int32),
            ),
            parallel_iterations=1,  # one block's activations at a time
        )
        item_ids = tf.cast(tf.gather(self.order, positions), tf.int32)
        item_ids = tf.where(scores <= EXCLUDED, -1, item_ids)
        return {
            "item_ids": tf.ensure_shape(item_ids, [None, self.k]),
            "scores": tf.ensure_shape(minus_infinity(scores), [None, self.k]),
        }


def minus_infinity(scores: tf.Tensor) -> tf.Tensor:
    """The scores with -inf in place of `EXCLUDED`.

    Made at run time, as a logarithm: TFLite's arithmetic cuts infinities off.
    """
    wanted = scores > EXCLUDED
    return tf.where(wanted, scores, tf.math.log(tf.cast(wanted, tf.float32)))


def usable(vectors: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Bool [B]: the user is known and the vector [B, du] is not all zero."""
    return tf.logical_and(known, tf.reduce_any(tf.not_equal(vectors, 0.0), axis=1))


def within(ids: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Which ids lie in [0, count), and the ids with 0 in place of others."""
    known = tf.logical_and(ids >= 0, ids < count)
    return known, tf.where(known, ids, 0)
