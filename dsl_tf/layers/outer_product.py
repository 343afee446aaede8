"""ConvNCF's network over the outer product of two embeddings (IJCAI 2018, sec. 3.2)."""

import tensorflow as tf


def logits(users: tf.Tensor, items: tf.Tensor, *network: tf.Tensor) -> tf.Tensor:
    """The network's logits of users [B, d] with items [B, n, d] each, [B, n].

    Args:
      users: p.
      items: q.
      *network: kernels of the layers, biases of the layers, the weights and the
        bias of the output layer.
    """
    *layers, head, head_bias = network
    kernels, biases = layers[: len(layers) // 2], layers[len(layers) // 2 :]
    half, channels = users.shape[1] // 2, head.shape[0]
    shape = tf.shape(items)[:2]
    p = tf.repeat(tf.reshape(users, [-1, half, 2]), shape[1], axis=0)
    q = tf.reshape(items, [-1, half, 2])
    inner = tf.einsum("xjb,abc->xajc", q, kernels[0][:, :, 0])
    # The bias is a third summand, whose p is 1.
    bias = tf.broadcast_to(biases[0], tf.shape(inner[:, :1]))
    inner = tf.reshape(tf.concat([inner, bias], 1), [-1, 3, half * channels])
    hidden = tf.matmul(tf.concat([p, tf.ones_like(p[:, :, :1])], 2), inner)
    hidden = tf.nn.relu(tf.reshape(hidden, [-1, half, half, channels]))
    for kernel, bias in zip(kernels[1:], biases[1:], strict=True):
        hidden = tf.nn.conv2d(hidden, kernel, strides=2, padding="VALID")
        hidden = tf.nn.relu(tf.nn.bias_add(hidden, bias))
    hidden = tf.reshape(hidden, [-1, channels])
    return tf.reshape(tf.linalg.matvec(hidden, head) + head_bias, shape)
