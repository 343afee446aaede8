"""Initial values of matrices, a block of rows at a time."""

import math
from collections.abc import Iterator

import tensorflow as tf
import tf_keras as keras

from dsl_tf import streams
from dsl_tf.storage.base import BLOCK_ELEMENTS

#: Initialisers whose draw of a part does not depend on the other parts.
_DRAWN_IN_PARTS = (
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.VarianceScaling,
    keras.initializers.Zeros,
    keras.initializers.Ones,
)


def row_blocks(
    shape: tuple[int, int], initializer: keras.initializers.Initializer
) -> Iterator[tuple[int, tf.Tensor]]:
    """Draw an initial matrix block by block.

    Storages draw the same numbers, and none needs memory for the whole, if the
    initialiser can draw a part of a matrix; Keras's random ones, zeros and ones can.
    Others, also a user's subclass of one of those, draw the whole at once.

    Args:
      shape: (rows, width).
      initializer: a Keras initialiser; a scale that depends on the shape
        (Glorot's) is that of the whole matrix.

    Yields:
      (first row, [block, width]).
    """
    rows, width = shape
    rows_at_once = max(1, BLOCK_ELEMENTS // width)
    if rows <= rows_at_once or not _is_drawn_in_parts(initializer):
        yield 0, initializer(shape, dtype=tf.float32)
        return
    for start in range(0, rows, rows_at_once):
        block = (min(rows_at_once, rows - start), width)
        drawn = initializer(
            shape, dtype=tf.float32, partition_shape=block, partition_offset=(start, 0)
        )
        yield start, drawn * _scale(initializer, shape, block)


def apart(
    initializer: keras.initializers.Initializer, kind: str
) -> keras.initializers.Initializer:
    """An initialiser like the given one, with a stream of its own.

    Two tables drawn with one seed begin with equal rows: each user would start
    as a copy of an item.
    """
    config = initializer.get_config()
    if config.get("seed") is None:
        return initializer
    config["seed"] = streams.key(config["seed"], f"initial/{kind}")
    return initializer.from_config(config)


def _is_drawn_in_parts(initializer: keras.initializers.Initializer) -> bool:
    # A user's subclass may draw as it likes.
    is_keras = type(initializer).__module__.startswith("tf_keras.")
    return is_keras and isinstance(initializer, _DRAWN_IN_PARTS)


def _scale(
    initializer: keras.initializers.Initializer,
    shape: tuple[int, int],
    block: tuple[int, int],
) -> float:
    """What makes a block's scale that of the whole: Keras takes the block's."""
    if not isinstance(initializer, keras.initializers.VarianceScaling):
        return 1.0
    fans = {"fan_in": lambda s: s[0], "fan_out": lambda s: s[1], "fan_avg": sum}
    fan = fans[initializer.mode]
    return math.sqrt(fan(block) / fan(shape))
