"""Sampled negatives: of each positive, or shared by several."""

import abc

import numpy as np
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.plugins import choose
from dsl_tf.types import Interactions


class Sampler(abc.ABC):
    """Draws negatives as a pure function of a seed.

    Args:
      train: training interactions, sorted by user, then item, no duplicates.
      num_users: rows of the user vocabulary.
      num_items: rows of the item vocabulary.
      exponent: of an item's popularity, which it is drawn in proportion to.
      shared_by: positives that share a draw, at most; 0: all of a batch.

    Raises:
      UserError: an exponent that it cannot draw by, or `shared_by` below 0.
    """

    @abc.abstractmethod
    def __init__(
        self,
        train: Interactions,
        num_users: int,
        num_items: int,
        exponent: float = 0.0,
        shared_by: int = 0,
    ) -> None:
        """See the class."""

    @abc.abstractmethod
    def __call__(self, users: tf.Tensor, count: int, seed: tf.Tensor) -> tf.Tensor:
        """Draw negatives.

        Args:
          users: int32 [B], of the positives.
          count: n, negatives of each.
          seed: int [2], a stateless seed.

        Returns:
          int32 [G, n]: the positives, in their order, are G groups of one size, the
          last of which may be shorter, and each group shares its negatives.
        """

    @abc.abstractmethod
    def drawn(self, positives: int, count: int) -> int:
        """How many items it draws for so many positives."""

    @abc.abstractmethod
    def shares(self, users: np.ndarray) -> np.ndarray:
        """How often each item is drawn, float64 [num_items], in all 1.

        Args:
          users: float64 [num_users], how often each user is one of the positives',
            in all 1.
        """


class UniformNegatives(Sampler):
    """Draws items uniformly from those a user has no training interaction with.

    Nothing is drawn and rejected. The r-th item that user u has not seen is
    found directly: u's ascending items i_0 < i_1 < … leave i_j - j unseen items
    below i_j, so with j = #{j : i_j - j <= r} the answer is r + j. One binary
    search in the training pairs gives j for a whole batch, and there are no
    false negatives, however many items a user has.
    """

    def __init__(
        self,
        train: Interactions,
        num_users: int,
        num_items: int,
        exponent: float = 0.0,
        shared_by: int = 0,
    ) -> None:
        del shared_by  # Each positive has its own.
        if exponent:
            raise UserError(
                "`train.negatives_exponent` must be 0 with `train.sampling=per_pair`, "
                f"which draws uniformly. Received: {exponent}."
            )
        counts = np.bincount(train.users, minlength=num_users)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        users = train.users.astype(np.int64)
        self._train = train
        unseen_below = train.items - (np.arange(len(train)) - starts[users])
        self._stride = num_items + 1
        self._keys = tf.constant(users * self._stride + unseen_below)
        self._starts = tf.constant(starts, tf.int64)
        # A user who has everything gets an arbitrary item instead of none.
        self._unseen = tf.constant(np.maximum(num_items - counts, 1), tf.int64)
        self._last = num_items - 1

    def __call__(self, users: tf.Tensor, count: int, seed: tf.Tensor) -> tf.Tensor:
        """Negatives of each positive, int32 [B, n]."""
        rows = tf.cast(users, tf.int64)
        shape = tf.stack([tf.size(users), count])
        bits = tf.random.stateless_uniform(
            shape, seed, minval=None, maxval=None, dtype=tf.uint32
        )
        # Multiply and shift: the rank is uniform to within 2**-32.
        unseen = tf.gather(self._unseen, rows)[:, None]
        rank = tf.bitwise.right_shift(
            tf.cast(bits, tf.int64) * unseen, tf.constant(32, tf.int64)
        )
        key = tf.reshape(rows[:, None] * self._stride + rank, [-1])
        below = tf.searchsorted(self._keys, key, side="right", out_type=tf.int64)
        seen_below = tf.reshape(below, shape) - tf.gather(self._starts, rows)[:, None]
        item = tf.minimum(rank + seen_below, self._last)
        return tf.ensure_shape(tf.cast(item, tf.int32), [None, count])

    def drawn(self, positives: int, count: int) -> int:
        """`count` for each positive."""
        return positives * count

    def shares(self, users: np.ndarray) -> np.ndarray:
        """Of each user the same for all items but those of training."""
        of_each, train = users / self._unseen.numpy(), self._train
        seen = np.bincount(train.items, of_each[train.users], self._last + 1)
        unseen = np.maximum(of_each.sum() - seen, 0.0)
        # Where all have everything nobody says what is drawn.
        total = unseen.sum()
        return unseen / total if total else np.full_like(unseen, 1 / len(unseen))


class SharedNegatives(Sampler):
    """Draws items with repetition, once for several positives of a batch.

    Then these score their users with n items in one product, and n can be in the
    thousands. A negative may be an item that one of the users has: with 1,000 of
    40,000 items, of a user with 30 items, less than one is expected. Groups smaller
    than the batch see more of the items in a step at the same cost: of 40,000 items
    one draw of hundreds has few, and these get the gradient of the whole batch.

    An item is drawn in proportion to its interactions to the power of `exponent`:
    0 is uniform, 1 is what the other positives of a large batch would be, .75 is
    word2vec's (Mikolov et al. 2013). The more often popular items are negatives,
    the less popularity itself is learnt; below 0 it is learnt more.
    """

    def __init__(
        self,
        train: Interactions,
        num_users: int,
        num_items: int,
        exponent: float = 0.0,
        shared_by: int = 0,
    ) -> None:
        del num_users
        if shared_by < 0:
            raise UserError(
                f"`train.shared_by` must be at least 0. Received: {shared_by}."
            )
        popularity = np.bincount(train.items, minlength=num_items).astype(np.float64)
        if exponent <= 0:  # An item without interactions is drawn as one with one.
            popularity = np.maximum(popularity, 1)
        with np.errstate(over="ignore"):
            below = np.cumsum(popularity**exponent)
        if not (np.isfinite(below[-1]) and below[-1] > 0):
            raise UserError(
                "`train.negatives_exponent` must be such that powers of interactions "
                f"can be summed. Received: {exponent}."
            )
        self._below = tf.constant(below / below[-1])
        self._shared_by = shared_by

    def __call__(self, users: tf.Tensor, count: int, seed: tf.Tensor) -> tf.Tensor:
        """Negatives of each group, int32 [G, n]."""
        groups = -(-tf.size(users) // self._shared_by) if self._shared_by else 1
        draws = tf.random.stateless_uniform([groups, count], seed, dtype=tf.float64)
        # They are below 1, where the last item ends that has a share.
        found = tf.searchsorted(self._below, tf.reshape(draws, [-1]), side="right")
        return tf.reshape(found, [groups, count])

    def drawn(self, positives: int, count: int) -> int:
        """`count` for each group."""
        groups = -(-positives // self._shared_by) if self._shared_by else 1
        return groups * count

    def shares(self, users: np.ndarray) -> np.ndarray:
        """The same whoever the users are."""
        del users
        return np.diff(self._below.numpy(), prepend=0.0)


_SAMPLERS: dict[str, type[Sampler]] = {
    "per_pair": UniformNegatives,
    "shared": SharedNegatives,
}


def find(name: str) -> type[Sampler]:
    """The sampler of a name.

    Raises:
      UserError: no such sampler; the message lists those that exist.
    """
    return choose(_SAMPLERS, name, "train.sampling")
