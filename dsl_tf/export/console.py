"""Keep the converter's chatter off the user's terminal."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Hold back what TensorFlow writes to the terminal in this block.

    Its Python log lines are raised to errors. The C++ converter writes to file
    descriptor 2, past `sys.stderr`, so the descriptor itself is redirected to
    a temporary file. If the block raises, that file is printed: it says why.
    """
    logger = tf.get_logger()
    level = logger.level
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        logger.setLevel("ERROR")
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            logger.setLevel(level)
            os.dup2(terminal, 2)
            os.close(terminal)
            if failed:
                held.seek(0)
                sys.stderr.write(held.read().decode(errors="replace"))
