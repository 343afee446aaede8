import os

import pytest
import tensorflow as tf

from dsl_tf.export.console import quiet_tensorflow


def test_neither_descriptor_nor_logger_reach_the_terminal(capfd):
    level = tf.get_logger().level
    with quiet_tensorflow():
        os.write(2, b"from C++\n")
        tf.get_logger().warning("from Python")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
    assert tf.get_logger().level == level


def test_a_failure_prints_what_was_held(capfd):
    with pytest.raises(RuntimeError), quiet_tensorflow():  # noqa: PT012
        os.write(2, b"the reason\n")
        raise RuntimeError
    assert capfd.readouterr().err == "the reason\n"
