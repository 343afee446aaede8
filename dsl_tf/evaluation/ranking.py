"""Full ranking: the best items of each user among all items, without the known.

The scores of one batch of users fill `BATCH_BYTES`; a batch is scored, masked
and reduced to its top items inside one `tf.function`, so no score leaves
TensorFlow. Everything is deterministic, also how ties are broken.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.evaluation.ties import TieOrder

Score = Callable[[tf.Tensor], tf.Tensor]

#: Bytes of one batch of scores. At Gowalla's size on two cores (one run each, d=64,
#: scoring, masking and top 21) 8 MB took 5 s, 64 MB 10 s: too much for the caches.
BATCH_BYTES = 8 * 2**20
#: Items in a block of `_largest`.
BLOCK = 32


class Ranking(NamedTuple):
    """The top of the ranking of n users.

    Attributes:
      items: int32 [n, cutoff], best first; -1 where no rankable item is left.
      scores: float32 [n, cutoff + 1]; -inf where no rankable item is left. The
        last column is the best score that was not recommended.
    """

    items: np.ndarray
    scores: np.ndarray

    def tied(self, cutoff: int) -> np.ndarray:
        """Whether ranks `cutoff` and `cutoff + 1` have one score, bool [n]."""
        last, next_one = self.scores[:, cutoff - 1], self.scores[:, cutoff]
        return (last == next_one) & (last > -np.inf)


def tie_order(num_items: int, seed: int) -> np.ndarray:
    """The permutation that breaks ties, the same in evaluation and export.

    Args:
      num_items: size of the catalogue.
      seed: the run's seed.

    Returns:
      int32 [num_items], position to item. Of items with equal scores, the one
      that stands earlier here is ranked higher.
    """
    every = np.arange(num_items, dtype=np.int64)
    return TieOrder(num_items, seed).items(every).astype(np.int32)


def tie_rank(num_items: int, seed: int) -> np.ndarray:
    """int32 [num_items]: the position of each item in `tie_order`."""
    every = np.arange(num_items, dtype=np.int64)
    return TieOrder(num_items, seed).positions(every).astype(np.int32)


def batch_size(num_items: int) -> int:
    """How many users' scores fit into `BATCH_BYTES`; at least one."""
    return max(1, BATCH_BYTES // (4 * num_items))


def check_not_nan(nan_users: tf.Tensor, users: np.ndarray) -> None:
    """Refuses scores with NaN.

    Args:
      nan_users: bool [B], users that have a NaN among their scores.
      users: int32 [B], their row numbers.

    Raises:
      UserError: there is one.
    """
    found = nan_users.numpy()
    if found.any():
        raise UserError(
            "Scores must not be NaN: the model has diverged, a smaller "
            "`train.learning_rate` may help. Received: NaN for user row "
            f"{users[np.argmax(found)]}."
        )


def nan_users(scores: tf.Tensor) -> tf.Tensor:
    """Which rows of `scores` [B, num_items] hold a NaN, bool [B]."""
    # A sum is one fast pass. It is NaN whenever a score is, and only then (or
    # where infinities of both signs meet) is the slow look worth its time.
    return tf.cond(
        tf.math.is_nan(tf.reduce_sum(scores)),
        lambda: tf.reduce_any(tf.math.is_nan(scores), axis=1),
        lambda: tf.zeros(tf.shape(scores)[:1], tf.bool),
    )


def rank(
    score: Score,
    users: np.ndarray,
    known: scipy.sparse.csr_matrix,
    cutoff: int,
    seed: int,
) -> Ranking:
    """Ranks all items but the known ones for each user.

    Args:
      score: user row numbers int32 [B] to float32 [B, num_items]; -inf marks an
        item that cannot be recommended. It is traced by `tf.function`.
      users: int32 [n], row numbers.
      known: [num_users, num_items], non-zero where an item must not be
        recommended to a user.
      cutoff: length of the ranking, K.
      seed: the run's seed, for `tie_order`.

    Raises:
      UserError: a score is NaN.
    """
    num_items = known.shape[1]
    step = _ranking_step(score, num_items, cutoff, tie_rank(num_items, seed))
    known = known[users]
    batch = batch_size(num_items)
    items = np.full((len(users), cutoff), -1, np.int32)
    scores = np.full((len(users), cutoff + 1), -np.inf, np.float32)
    for start in range(0, len(users), batch):
        ids = users[start : start + batch].astype(np.int32)
        offsets = known.indptr[start : start + len(ids) + 1]
        masked = np.empty((offsets[-1] - offsets[0], 2), np.int32)
        masked[:, 0] = np.repeat(np.arange(len(ids)), np.diff(offsets))
        masked[:, 1] = known.indices[offsets[0] : offsets[-1]]
        top_items, top_scores, nan = step(ids, masked)
        check_not_nan(nan, ids)
        rows = slice(start, start + len(ids))
        width = top_items.shape[1]  # less than cutoff in a tiny catalogue
        items[rows, :width] = top_items[:, :cutoff]
        scores[rows, : top_scores.shape[1]] = top_scores
    items[scores[:, :cutoff] == -np.inf] = -1
    return Ranking(items, scores)


def _ranking_step(
    score: Score, num_items: int, cutoff: int, order: np.ndarray
) -> tf.types.experimental.PolymorphicFunction:
    """The compiled step of `rank`: one trace serves batches of every size."""
    wanted = min(cutoff, num_items)
    order = tf.constant(order)

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, 2], tf.int32),
        ],
    )
    def step(
        users: tf.Tensor, masked: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        scores = tf.ensure_shape(score(users), [None, num_items])
        nan = nan_users(scores)
        unrankable = tf.fill(tf.shape(masked)[:1], -np.inf)
        scores = tf.tensor_scatter_nd_update(scores, masked, unrankable)
        # One more than wanted tells whether the last place was won by a tie.
        items, best = _largest(scores, min(wanted + 1, num_items))
        if wanted < num_items:
            # Which of the tied items got in so far is arbitrary: such users
            # (few, but for models with many equal scores) are chosen anew.
            last, next_one = best[:, wanted - 1], best[:, wanted]
            tied = tf.where((last == next_one) & (last > -np.inf))[:, 0]
            chosen = _break_ties(
                tf.gather(scores, tied), tf.gather(last, tied), wanted, order
            )
            items = tf.tensor_scatter_nd_update(
                items[:, :wanted], tied[:, None], chosen
            )
        values = tf.gather(scores, tf.minimum(items, num_items - 1), batch_dims=1)
        values = tf.where(items < num_items, values, -np.inf)
        return _sort(items, values, order), best, nan

    return step


def _largest(scores: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The `count` largest of each row: items and scores, both [B, count].

    The k largest scores lie in the k blocks of the largest maxima, so only
    those are searched. At Gowalla's size that halves the whole evaluation,
    against `tf.math.top_k` on whole rows.
    Among equal scores the choice is arbitrary (but deterministic). Rows with
    less than `count` scores above -inf are filled up with scores of -inf,
    possibly of items beyond the catalogue.
    """
    num_items = scores.shape[1]
    blocks = -(-num_items // BLOCK)
    padding = [[0, 0], [0, blocks * BLOCK - num_items]]
    padded = tf.pad(scores, padding, constant_values=-np.inf)
    padded = tf.reshape(padded, [-1, blocks, BLOCK])
    best = tf.math.top_k(tf.reduce_max(padded, axis=2), min(count, blocks)).indices
    searched = tf.gather(padded, best, batch_dims=1)
    searched = tf.reshape(searched, [-1, best.shape[1] * BLOCK])
    top = tf.math.top_k(searched, count)
    block = tf.gather(best, top.indices // BLOCK, batch_dims=1)
    return block * BLOCK + top.indices % BLOCK, top.values


def _break_ties(
    scores: tf.Tensor, last: tf.Tensor, count: int, order: tf.Tensor
) -> tf.Tensor:
    """The `count` items of rows whose last place is tied, in any sequence.

    Args:
      scores: float32 [B, num_items].
      last: float32 [B], the score that the last of the `count` places has.
      count: number of places.
      order: int32 [num_items], see `tie_rank`.

    Returns:
      int32 [B, count]: every item above `last`, then those equal to it that
      stand earliest in the tie order.
    """
    last = last[:, None]
    # Exact in float32 for less than 2**24 items.
    earliest = -tf.cast(order, tf.float32)
    key = tf.where(scores == last, earliest, -np.inf)
    key = tf.where(scores > last, np.inf, key)
    return _largest(key, count)[0]


def _sort(items: tf.Tensor, scores: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """Items [B, k] by falling score, equal scores in the tie order."""
    places = tf.gather(order, tf.minimum(items, tf.shape(order)[0] - 1))
    earliest = tf.argsort(places, axis=1)
    items = tf.gather(items, earliest, batch_dims=1)
    scores = tf.gather(scores, earliest, batch_dims=1)
    # top_k puts the earlier of two equals first, which argsort does not promise.
    by_score = tf.math.top_k(scores, tf.shape(scores)[1]).indices
    return tf.gather(items, by_score, batch_dims=1)
