"""Which training interactions the batches hold: each once, or users alike."""

import abc

import numpy as np
import tensorflow as tf

from dsl_tf.plugins import choose
from dsl_tf.types import Interactions


class Positives(abc.ABC):
    """Chooses a batch's positives as a pure function of a seed.

    Args:
      train: training interactions, sorted by user.
    """

    @abc.abstractmethod
    def __init__(self, train: Interactions) -> None:
        """See the class."""

    @abc.abstractmethod
    def __call__(self, index: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Places of the positives in the training part.

        Args:
          index: int32 [B], places that hold each interaction once an epoch.
          seed: int [2], a stateless seed, another one for every batch.

        Returns:
          int32 [B].
        """

    @abc.abstractmethod
    def shares(self) -> np.ndarray:
        """How often each place is chosen, float64 [len(train)], in all 1."""


class EachInteraction(Positives):
    """Every interaction once an epoch: a user weighs as much as interactions."""

    def __init__(self, train: Interactions) -> None:
        self._examples = len(train)

    def __call__(self, index: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """`index`, as it is."""
        del seed
        return index

    def shares(self) -> np.ndarray:
        """All alike."""
        return np.full(self._examples, 1.0 / self._examples)


class UniformUsers(Positives):
    """A uniform user, then a uniform one of the user's interactions.

    Every user weighs the same, as in a metric that is a mean over users. It is how
    the authors of NGCF and LightGCN sample. An epoch is as many draws as there are
    interactions, with repetition.
    """

    def __init__(self, train: Interactions) -> None:
        _, starts, counts = np.unique(
            train.users, return_index=True, return_counts=True
        )
        self._starts = tf.constant(starts, tf.int32)
        self._counts = tf.constant(counts, tf.int32)

    def __call__(self, index: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws, as many as `index` has."""
        shape = [2, tf.size(index)]
        draws = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32)
        users, within = tf.unstack(draws)
        user = _nth(users, self._starts.shape[0])
        return tf.gather(self._starts, user) + _nth(
            within, tf.gather(self._counts, user)
        )

    def shares(self) -> np.ndarray:
        """One of a user's, of all users."""
        counts = self._counts.numpy()
        return np.repeat(1.0 / (len(counts) * counts), counts)


def _nth(draws: tf.Tensor, count: tf.Tensor | int) -> tf.Tensor:
    """Uniform draws, uint32 [B], as uniform int32 below `count`.

    Floats in [0, 1) would be multiples of 2^-23: of ten million users they reach five
    in six.
    """
    scaled = tf.cast(draws, tf.int64) * tf.cast(count, tf.int64)
    return tf.cast(tf.bitwise.right_shift(scaled, tf.constant(32, tf.int64)), tf.int32)


_POSITIVES: dict[str, type[Positives]] = {
    "interactions": EachInteraction,
    "users": UniformUsers,
}


def find(name: str) -> type[Positives]:
    """The choice of a name.

    Raises:
      UserError: no such choice; the message lists those that exist.
    """
    return choose(_POSITIVES, name, "train.positives")
