"""tf.data pipelines that are pure functions of (seed, step)."""

import tensorflow as tf

from dsl_tf import streams
from dsl_tf.data.negatives import UniformNegatives
from dsl_tf.types import Split


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Batches of one epoch; what is over stays out of this epoch's shuffle."""
    return max(1, len(split.train) // batch_size)


def pairwise(
    split: Split, batch_size: int, negatives: int, seed: int, step: tf.Variable
) -> tf.data.Dataset:
    """Batches of positives from `step` on, epoch after epoch, without end.

    Iterating over the data set reads `step` once, when the first batch is drawn:
    a resumed run gets the rest of its interrupted epoch, then the next ones.
    Nothing is drawn from a state, so batch t is the same whether or not the
    run was interrupted. It never ends because Keras increments `iterations`
    even in the step that finds no more data.

    Args:
      split: its training part is used, sorted by user, then item.
      batch_size: B, positives in a batch; fewer if there are not so many.
      negatives: n, fresh negatives for each positive.
      seed: the run's seed.
      step: int64 variable, batches done. Not `optimizer.iterations`: nothing
        orders a training step's count and the draw of its batch.

    Returns:
      A data set of `{"user": int32 [B], "item": int32 [B],
      "negatives": int32 [B, n]}`.
    """
    count = len(split.train)
    batches = steps_per_epoch(split, batch_size)
    batch_size = min(batch_size, count)
    users, items = tf.constant(split.train.users), tf.constant(split.train.items)
    draw = UniformNegatives(split.train, split.num_users, split.num_items)
    shuffle, sample = streams.key(seed, "shuffle"), streams.key(seed, "negatives")

    def from_here(_: tf.Tensor) -> tf.data.Dataset:
        done = tf.cast(step.read_value(), tf.int64)
        first = done // batches

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(
                tf.range(count), seed=tf.stack([shuffle, number])
            )
            order = tf.reshape(order[: batches * batch_size], [batches, batch_size])
            begun = tf.where(number == first, done % batches, 0)
            steps = tf.range(number * batches + begun, (number + 1) * batches)
            return tf.data.Dataset.from_tensor_slices((steps, order[begun:]))

        return tf.data.Dataset.counter(start=first).flat_map(epoch)

    def batch(number: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        user = tf.gather(users, index)
        return {
            "user": user,
            "item": tf.gather(items, index),
            "negatives": draw(user, negatives, tf.stack([sample, number])),
        }

    return (
        tf.data.Dataset.range(1)
        .flat_map(from_here)
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )
