"""Rows rounded in training as an exported file has them.

Training then sees what is left of a row on a device (Jacob et al., CVPR 2018, sec. 3),
by the estimator that takes rounding for the identity (Bengio et al. 2013). Rows are
whole multiples of a step, of each row's own or of one for the table. A row's own is
closer, and takes two bytes of the file, as much as four columns of int4: where rows
are narrow they are worth more as columns.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

#: Of the mean square that there was, what is left of it after a look-up in training.
_MOMENTUM = 0.99


class Rounding(NamedTuple):
    """What all rows of a table are whole multiples of.

    Attributes:
      step: float32; 0 where no weight is anything else.
      largest_code: how many steps on either side of zero, 127 for int8 and 7 for int4.
    """

    step: float
    largest_code: int


def rounded_by_row(rows: tf.Tensor, largest_code: int) -> tf.Tensor:
    """Rows as whole multiples of a step of their own; gradients pass unchanged.

    The step is the scale that `export.quantize.quantize_rows` finds, to the last bit,
    so that what was learned with int4 is what is stored; TensorFlow's own fake
    quantisation has one for a tensor, or for each of its columns, in float32.

    Args:
      rows: real [..., width].
      largest_code: 127 of int8, 7 of int4.

    Returns:
      float32, of the same shape.
    """
    exact = tf.cast(rows, tf.float32)
    largest = tf.reduce_max(tf.abs(exact), axis=-1, keepdims=True) / largest_code
    bits = tf.bitcast(largest, tf.int32)
    # Up to the next number that bfloat16 has.
    step = tf.bitcast(tf.bitwise.bitwise_and(bits + 0xFFFF, -0x10000), tf.float32)
    return _rounded(exact, step, largest_code, tf.identity)


def rounded_by_table(
    rows: tf.Tensor, mean_square: tf.Variable, largest_code: int
) -> tf.Tensor:
    """Rows as whole multiples of one step for all; gradients pass unchanged.

    The step follows the root mean square of the weights that are looked up in training,
    as all weights grow there.

    Args:
      rows: real [..., width]; zeros are positions without a weight.
      mean_square: float32 scalar, of the weights; moved by the backward pass.
      largest_code: 127 of int8, 7 of int4.

    Returns:
      float32, of the same shape.
    """
    exact = tf.cast(rows, tf.float32)

    def backward(upstream: tf.Tensor) -> tf.Tensor:
        found = mean_square_of(exact)
        mean_square.assign_add((1 - _MOMENTUM) * (found - mean_square))
        return upstream

    step = step_of(mean_square, largest_code)
    return _rounded(exact, step, largest_code, backward)


def mean_square_of(weights: tf.Tensor) -> tf.Tensor:
    """The mean square of what is not zero, float32 scalar; 0 if there is nothing."""
    total = tf.reduce_sum(tf.square(weights))
    count = tf.cast(tf.math.count_nonzero(weights), tf.float32)
    return tf.math.divide_no_nan(total, count)


def step_of(mean_square: tf.Tensor, largest_code: int) -> tf.Tensor:
    """The step of a table, float32 scalar.

    Codes reach as far as √(2 ln n) times the root mean square, n their number: for
    int4 2.35 times, about where normal weights have their least squared error.
    """
    reach = math.sqrt(2 * math.log(2 * largest_code + 2))
    return reach / largest_code * tf.sqrt(mean_square)


def _rounded(
    rows: tf.Tensor,
    step: tf.Tensor,
    largest_code: int,
    backward: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    # Not as the sum of the rows and a constant: that is off by its own rounding.
    @tf.custom_gradient
    def rounded(exact: tf.Tensor):  # type: ignore[no-untyped-def]
        codes = tf.round(tf.math.divide_no_nan(exact, step))
        return tf.clip_by_value(codes, -largest_code, largest_code) * step, backward

    return rounded(rows)
