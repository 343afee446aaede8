"""Top-k over all items in blocks, the common part of both served forms."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dsl_tf.backbones.base import WEIGHTS_AT_ONCE
from dsl_tf.evaluation.ranking import Score
from dsl_tf.export.frozen import FrozenModel
from dsl_tf.export.tables import Rows, narrow
from dsl_tf.layers.blockwise import in_blocks

#: Marks an item that must not be recommended while a ranking is made. Not -inf,
#: for which the converter puts this very number in constants.
EXCLUDED = float(np.finfo(np.float32).min)


class Ranker(tf.Module):
    """Ranks the frozen items for given user vectors.

    Args:
      frozen: the model to serve.
      k: length of a ranking.

    Attributes:
      items: the item vectors, by position; whoever serves them sets it.
      users: the user vectors, if it has them.
      resources: what the served form fills when it is loaded.
    """

    items: Rows
    users: Rows | None
    resources: tuple[tf.saved_model.experimental.TrackableResource, ...] = ()

    def __init__(self, frozen: FrozenModel, k: int) -> None:
        super().__init__()
        self.k = k
        self.num_items = frozen.num_items
        self.queries = frozen.queries
        self.order = frozen.order
        self.popularity = tf.Variable(narrow(frozen.popularity), trainable=False)
        self.interaction = frozen.interaction
        # Tracked, so that a SavedModel holds what `interaction` captures.
        self.network = frozen.network

    def rank(
        self,
        score: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        users: int | tf.Tensor,
        block: int | tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The k best items of each user, by score, then by the tie order.

        Items are scored `block` at a time, so that neither the item table nor
        the activations of the interaction exist for all items at once. The last
        block is moved back to end with the table: a block of fixed size is what
        TFLite handles well.

        Args:
          score: of a block's first position and of the first that is new in it
            (scalars, int32) to the scores float32 [users, block], `EXCLUDED`
            for unwanted items and for those that are not new.
          users: B, how many.
          block: items scored at once, from 1 to `num_items`.

        Returns:
          `item_ids` int32 [B, k], -1 where fewer than k items are left, and
          `scores` float32 [B, k], -inf there.
        """
        shape = [users, self.k]

        def step(
            begin: tf.Tensor, best: tf.Tensor, positions: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            first = tf.minimum(begin, self.num_items - block)
            # The best so far stand first, being earlier in the tie order.
            scores = tf.concat([best, score(first, begin)], 1)
            best, index = tf.math.top_k(scores, self.k)
            old = tf.gather(positions, tf.minimum(index, self.k - 1), batch_dims=1)
            new = first + index - self.k
            positions = tf.where(index < self.k, old, new)
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
        # int64, as the product with the stride may not fit into an int32.
        item_ids = tf.cast(self.order.items(tf.cast(positions, tf.int64)), tf.int32)
        item_ids = tf.where(scores <= EXCLUDED, -1, item_ids)
        return {
            "item_ids": tf.ensure_shape(item_ids, [None, self.k]),
            "scores": tf.ensure_shape(minus_infinity(scores), [None, self.k]),
        }

    def scorer(self) -> Score:
        """What an evaluation asks: users to the scores that rankings are made by.

        Items are in the order of their ids. All item vectors are in memory as
        float32, as long as the function is.
        """
        assert self.users is not None
        users = self.users
        everything = np.arange(self.num_items, dtype=np.int32)
        width = self.items.rows(tf.constant(everything[:1])).shape[1]
        blocks = np.array_split(
            everything, -(-self.num_items * width // WEIGHTS_AT_ONCE)
        )
        positions = [self.positions(tf.constant(block)) for block in blocks]
        items = tf.concat([self.items.rows(block) for block in positions], axis=0)
        popular = tf.concat([self.popular(block) for block in positions], axis=0)

        def score(ids: tf.Tensor) -> tf.Tensor:
            vectors = users.rows(ids)
            if self.queries is None:
                scores = in_blocks(self.interaction, vectors, items, self.num_items)
            else:
                scores = self.interaction(vectors, items)
            return tf.where(usable(vectors, True)[:, None], scores, popular)

        return score

    def positions(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Positions of valid item ids, int [n] to int32 [n]."""
        return tf.cast(self.order.positions(tf.cast(item_ids, tf.int64)), tf.int32)

    def popular(self, positions: tf.Tensor) -> tf.Tensor:
        """What ranks items where a user's vector cannot, float32 [n]."""
        return tf.cast(tf.gather(self.popularity, positions), tf.float32)


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
