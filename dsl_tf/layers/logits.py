"""Of a batch's positives and negatives: their items, and inner products."""

from collections.abc import Mapping

import tensorflow as tf


def batch_items(inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Each positive's item and its negatives, int32 [B, 1 + n]."""
    item = tf.convert_to_tensor(inputs["item"])[:, None]
    negatives = tf.convert_to_tensor(inputs["negatives"])
    if negatives.shape.rank == 1:
        shape = tf.stack([tf.size(item), tf.size(negatives)])
        negatives = tf.broadcast_to(negatives, shape)
    return tf.concat([item, negatives], axis=1)


def dot_logits(
    users: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor
) -> tf.Tensor:
    """Inner products of a batch's users with their positives and negatives.

    Args:
      users: [B, d].
      positives: [B, d].
      negatives: [B, n, d], or [n, d] that serve the whole batch.

    Returns:
      [B, 1 + n].
    """
    positive = tf.reduce_sum(users * positives, axis=1, keepdims=True)
    if negatives.shape.rank == 2:
        negative = tf.matmul(users, negatives, transpose_b=True)
    else:
        negative = tf.linalg.matvec(negatives, users)
    return tf.concat([positive, negative], axis=1)
