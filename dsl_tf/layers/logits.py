"""Of a batch's positives and negatives: their items, and inner products.

A batch has B positives in G groups of one size, the last of which may be shorter; each
group shares its n negatives. A positive with negatives of its own is a group.
"""

from collections.abc import Mapping

import tensorflow as tf


def by_group(rows: tf.Tensor, groups: tf.Tensor) -> tf.Tensor:
    """Rows of the positives [B, d] by group, [G, S, d], filled up with zeros."""
    left = -tf.shape(rows)[0] % groups
    filled = tf.pad(rows, [[0, left], [0, 0]])
    return tf.reshape(filled, [groups, -1, rows.shape[1]])


def batch_items(inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Each positive's item and its negatives, int32 [B, 1 + n]."""
    item = tf.convert_to_tensor(inputs["item"])[:, None]
    negatives = tf.convert_to_tensor(inputs["negatives"])
    count, groups = tf.size(item), tf.shape(negatives)[0]
    each = tf.repeat(negatives, (count + groups - 1) // groups, axis=0)[:count]
    return tf.concat([item, each], axis=1)


def dot_logits(
    users: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor
) -> tf.Tensor:
    """Inner products of a batch's users with their positives and negatives.

    Args:
      users: [B, d].
      positives: [B, d].
      negatives: [G, n, d].

    Returns:
      [B, 1 + n].
    """
    positive = tf.reduce_sum(users * positives, axis=1, keepdims=True)
    grouped = by_group(users, tf.shape(negatives)[0])
    negative = tf.matmul(grouped, negatives, transpose_b=True)
    negative = tf.reshape(negative, [-1, tf.shape(negatives)[1]])
    return tf.concat([positive, negative[: tf.shape(users)[0]]], axis=1)
