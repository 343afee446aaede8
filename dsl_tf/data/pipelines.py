"""tf.data pipelines that are pure functions of (seed, step)."""

import abc

import numpy as np
import tensorflow as tf

from dsl_tf import streams
from dsl_tf.data.negatives import Sampler
from dsl_tf.data.positives import Positives
from dsl_tf.errors import UserError
from dsl_tf.types import RowShares, Split, StepSize

#: Without AutoGraph, which has nothing to convert here and takes seconds for it.
_as_it_is = tf.autograph.experimental.do_not_convert


class Batches(abc.ABC):
    """The examples of a training part in shuffled batches, epoch after epoch.

    Args:
      examples: how many there are, numbered from 0.
      batch_size: B, examples in a batch; fewer if there are not so many.
      seed: the run's seed.

    Attributes:
      size: of a step.
      shares: of each row in the steps.
      steps_per_epoch: batches of an epoch; what is over stays out of its shuffle.

    Raises:
      UserError: `batch_size` below 1.
    """

    size: StepSize
    shares: RowShares

    def __init__(self, examples: int, batch_size: int, seed: int) -> None:
        if batch_size < 1:
            raise UserError(
                f"`train.batch_size` must be at least 1. Received: {batch_size}."
            )
        self._examples = examples
        self.batch_size = min(batch_size, examples)
        self.steps_per_epoch = max(1, examples // batch_size)
        self._seed = seed

    @abc.abstractmethod
    def _batch(self, number: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Batch `number` (int64, from 0), of the examples `index` int32 [B]."""

    def dataset(self, step: tf.Variable) -> tf.data.Dataset:
        """Batches from `step` on, epoch after epoch, without end.

        Iterating over the data set reads `step` once, when the first batch is
        drawn: a resumed run gets the rest of its interrupted epoch, then the next
        ones. Nothing is drawn from a state, so batch t is the same whether or not
        the run was interrupted. It never ends because Keras increments
        `iterations` even in the step that finds no more data.

        Args:
          step: int64 variable, batches done. Not `optimizer.iterations`: nothing
            orders a training step's count and the draw of its batch.
        """
        batches, used = self.steps_per_epoch, self.steps_per_epoch * self.batch_size
        shuffle = streams.key(self._seed, "shuffle")

        def from_here(_: tf.Tensor) -> tf.data.Dataset:
            done = tf.cast(step.read_value(), tf.int64)
            first = done // batches

            def epoch(number: tf.Tensor) -> tf.data.Dataset:
                order = tf.random.experimental.stateless_shuffle(
                    tf.range(self._examples), seed=tf.stack([shuffle, number])
                )
                order = tf.reshape(order[:used], [batches, self.batch_size])
                begun = tf.where(number == first, done % batches, 0)
                steps = tf.range(number * batches + begun, (number + 1) * batches)
                return tf.data.Dataset.from_tensor_slices((steps, order[begun:]))

            return tf.data.Dataset.counter(start=first).flat_map(_as_it_is(epoch))

        return (
            tf.data.Dataset.range(1)
            .flat_map(_as_it_is(from_here))
            .map(
                _as_it_is(self._batch),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            .prefetch(tf.data.AUTOTUNE)
        )


class Pairs(Batches):
    """Positives with sampled negatives.

    A batch is `{"user": int32 [B], "item": int32 [B], "negatives": int32}`, the
    negatives [G, n] as the sampler draws them.

    Args:
      split: its training part is used.
      batch_size: B, positives in a batch.
      positives: chooses them.
      sampler: draws the negatives.
      negatives: n, how many.
      seed: the run's seed.

    Raises:
      UserError: `batch_size` or `negatives` out of range.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        positives: Positives,
        sampler: Sampler,
        negatives: int,
        seed: int,
    ) -> None:
        super().__init__(len(split.train), batch_size, seed)
        if not 1 <= negatives <= split.num_items:
            raise UserError(
                "`train.negatives` must be from 1 to the number of items, "
                f"{split.num_items:,}. Received: {negatives:,}."
            )
        self._users = tf.constant(split.train.users)
        self._items = tf.constant(split.train.items)
        self._positives = positives
        self._sampler = sampler
        self._negatives = negatives
        count = self.batch_size
        drawn = sampler.drawn(count, negatives)
        self.size = StepSize(
            users=count,
            items=count + drawn,
            pairs=count * (1 + negatives),
            positives=count,
        )
        each, train = positives.shares(), split.train
        users = np.bincount(train.users, each, minlength=split.num_users)
        items = np.bincount(train.items, each, minlength=split.num_items)
        others = sampler.shares(users)
        self.shares = RowShares(
            users,
            items=np.average([items, others], axis=0, weights=[count, drawn]),
            pairs=np.average([items, others], axis=0, weights=[1, negatives]),
            positives=items,
        )

    def _batch(self, number: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        place = self._positives(index, self._stream("positives", number))
        user = tf.gather(self._users, place)
        drawn = self._sampler(user, self._negatives, self._stream("negatives", number))
        return {"user": user, "item": tf.gather(self._items, place), "negatives": drawn}

    def _stream(self, name: str, number: tf.Tensor) -> tf.Tensor:
        """A stateless seed [2] for batch `number`."""
        return tf.stack([streams.key(self._seed, name), number])


class Users(Batches):
    """Users who have training items, `{"user": int32 [B]}`; all items are scored.

    Args:
      split: its training part is used.
      batch_size: B, users in a batch.
      seed: the run's seed.
    """

    def __init__(self, split: Split, batch_size: int, seed: int) -> None:
        active = np.flatnonzero(split.activity())
        self._active = tf.constant(active, tf.int32)
        count = len(active)
        super().__init__(count, batch_size, seed)
        self.size = StepSize(
            users=self.batch_size,
            items=split.num_items,
            pairs=self.batch_size * split.num_items,
            positives=round(self.batch_size * len(split.train) / count),
        )
        users = np.zeros(split.num_users)
        users[active] = 1.0 / count
        items = np.full(split.num_items, 1.0 / split.num_items)
        positives = split.popularity() / len(split.train)
        self.shares = RowShares(users, items, items, positives)

    def _batch(self, number: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        del number
        return {"user": tf.gather(self._active, index)}
