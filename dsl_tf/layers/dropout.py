"""Dropout whose mask is a function of (seed, step), not of a hidden state."""

import tensorflow as tf

from dsl_tf import streams


def dropout(
    inputs: tf.Tensor, rate: float, seed: int, stream: str, step: tf.Tensor
) -> tf.Tensor:
    """Drop units; the rest is scaled by 1 / (1 - rate).

    Keras's `Dropout` draws from a state that a checkpoint does not hold, so a
    resumed run would drop others.

    Args:
      inputs: float [...].
      rate: share dropped, in [0, 1).
      seed: the run's seed.
      stream: a name of this use; two uses in one step need two names.
      step: int64 scalar, `optimizer.iterations`.

    Returns:
      float [...].
    """
    if rate == 0.0:
        return inputs
    key = tf.stack([streams.key(seed, f"dropout/{stream}"), tf.cast(step, tf.int64)])
    return tf.nn.experimental.stateless_dropout(inputs, rate, seed=key)
