"""Rows rounded in training as the codes of an exported file give them back."""

import tensorflow as tf


def rounded_rows(rows: tf.Tensor, largest_code: int) -> tf.Tensor:
    """Rows as whole multiples of a scale of their own; gradients pass unchanged.

    Training then sees what is left of a row on a device (Jacob et al., CVPR 2018, sec.
    3), by the estimator that takes rounding for the identity (Bengio et al. 2013). The
    scale is the one that `export.quantize.quantize_rows` finds, to the last bit, so
    that what was learned with int4 is what is stored; TensorFlow's own fake
    quantisation has one for a tensor, or for each of its columns, in float32.

    Args:
      rows: real [..., width].
      largest_code: 127 of int8, 7 of int4.

    Returns:
      float32, of the same shape.
    """

    # Not as the sum of the rows and a constant: that is off by its own rounding.
    @tf.custom_gradient
    def rounded(exact: tf.Tensor):  # type: ignore[no-untyped-def]
        return _rounded(exact, largest_code), tf.identity

    return rounded(tf.cast(rows, tf.float32))


def _rounded(rows: tf.Tensor, largest_code: int) -> tf.Tensor:
    exact = tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True) / largest_code
    bits = tf.bitcast(exact, tf.int32)
    # Up to the next number that bfloat16 has.
    scale = tf.bitcast(tf.bitwise.bitwise_and(bits + 0xFFFF, -0x10000), tf.float32)
    codes = tf.round(tf.math.divide_no_nan(rows, scale))
    return tf.clip_by_value(codes, -largest_code, largest_code) * scale
