"""Keep the converter's chatter off the user's terminal."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from dsl_tf.environment import native_log_hidden


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Hold back what TensorFlow writes to the terminal in this block.

    Its Python logger is set to errors, and what the C++ converter writes past
    `sys.stderr` is hidden, but printed if the block raises: it says why.
    """
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        with native_log_hidden():
            yield
    finally:
        logger.setLevel(level)
