"""Ranking one held-out item among a few fixed negatives (NCF's protocol)."""

import zlib
from typing import NamedTuple

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.evaluation import ranking


class Placing(NamedTuple):
    """Where held-out items stand among the negatives of their users.

    Attributes:
      ranks: int64 [p], 0 for the best; `num_items` for an unrankable item.
      scores: float32 [p, cutoff + 1], the best scores of the candidates.
    """

    ranks: np.ndarray
    scores: np.ndarray


def draw_negatives(
    users: np.ndarray, positives: scipy.sparse.csr_matrix, count: int, seed: int
) -> np.ndarray:
    """Negatives of each user, uniform and without repetition.

    Args:
      users: int32 [n], row numbers.
      positives: [num_users, num_items], canonical; non-zero where an item must
        not be drawn.
      count: negatives of a user.
      seed: the run's seed. What a user gets depends on it and the user only.

    Returns:
      int32 [n, count]; -1 where a user has less than `count` unknown items.
    """
    num_items = positives.shape[1]
    negatives = np.full((len(users), count), -1, np.int32)
    for row, user in enumerate(users):
        rng = np.random.default_rng([seed, zlib.crc32(b"candidates"), user])
        start, end = positives.indptr[user : user + 2]
        known = positives.indices[start:end]
        unknown = num_items - len(known)
        places = rng.choice(unknown, min(count, unknown), replace=False)
        # The i-th unknown item is i plus the known items that stand before it.
        before = np.searchsorted(known - np.arange(len(known)), places, "right")
        negatives[row, : len(places)] = places + before
    return negatives


def without_repetition(negatives: np.ndarray) -> np.ndarray:
    """Negatives [n, count] sorted by row, repeated ones replaced by -1."""
    negatives = np.sort(negatives, axis=1)
    negatives[:, 1:][negatives[:, 1:] == negatives[:, :-1]] = -1
    return negatives


def place(
    score: ranking.Score,
    users: np.ndarray,
    negatives: np.ndarray,
    held_out: scipy.sparse.csr_matrix,
    cutoff: int,
    seed: int,
) -> Placing:
    """Ranks every held-out item of every user among the user's negatives.

    Like NCF's evaluation, which gathers the scores in a dictionary by item, a
    negative that stands twice counts once, and one that is the held-out item
    itself counts for nothing (it occurs: 156 times in NCF's MovieLens file).
    Other positives among given negatives stay, as they do there. Ties go
    by the tie order; NCF's went against the held-out item.

    Args:
      score: see `ranking.rank`.
      users: int32 [n], row numbers.
      negatives: int32 [n, count], the items to beat; -1 for none.
      held_out: [num_users, num_items], non-zero where an item is held out.
      cutoff: largest cut-off, K.
      seed: the run's seed, for the tie order.

    Returns:
      p = all held-out items of `users`, by user, then item.

    Raises:
      UserError: a score is NaN.
    """
    num_items = held_out.shape[1]
    step = _placing_step(score, num_items, cutoff, ranking.tie_rank(num_items, seed))
    negatives = without_repetition(negatives)
    held_out = held_out[users]
    batch = ranking.batch_size(num_items)
    ranks, scores = [], []
    for start in range(0, len(users), batch):
        ids = users[start : start + batch].astype(np.int32)
        offsets = held_out.indptr[start : start + len(ids) + 1]
        rows = np.repeat(np.arange(len(ids)), np.diff(offsets)).astype(np.int32)
        items = held_out.indices[offsets[0] : offsets[-1]].astype(np.int32)
        rank, best, nan = step(ids, negatives[start : start + batch], rows, items)
        ranking.check_not_nan(nan, ids)
        ranks.append(rank.numpy())
        scores.append(best.numpy())
    return Placing(np.concatenate(ranks), np.concatenate(scores))


def _placing_step(
    score: ranking.Score, num_items: int, cutoff: int, order: np.ndarray
) -> tf.types.experimental.PolymorphicFunction:
    """The compiled step of `place`: one trace serves batches of every size."""
    order = tf.constant(order)

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.int32),
        ],
    )
    def step(
        users: tf.Tensor, negatives: tf.Tensor, rows: tf.Tensor, items: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        scores = tf.ensure_shape(score(users), [None, num_items])
        present = tf.maximum(negatives, 0)
        theirs = tf.gather(scores, present, batch_dims=1)
        theirs = tf.where(negatives >= 0, theirs, -np.inf)
        # From here on one row for each held-out item, not for each user.
        theirs = tf.gather(theirs, rows)
        earlier = tf.gather(tf.gather(order, present), rows)
        earlier = earlier < tf.gather(order, items)[:, None]
        same = tf.gather(present, rows) == items[:, None]
        theirs = tf.where(same, -np.inf, theirs)
        ours = tf.gather_nd(scores, tf.stack([rows, items], axis=1))[:, None]
        better = (theirs > ours) | ((theirs == ours) & earlier)
        rank = tf.math.count_nonzero(better, axis=1)
        rank = tf.where(ours[:, 0] > -np.inf, rank, num_items)
        everything = tf.concat([ours, theirs], axis=1)
        # So that there are cutoff + 1 columns, however few the negatives.
        padding = [[0, 0], [0, cutoff]]
        everything = tf.pad(everything, padding, constant_values=-np.inf)
        best = tf.math.top_k(everything, cutoff + 1).values
        return rank, best, ranking.nan_users(scores)

    return step
