import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.layers.dropout import dropout

ONES = tf.ones([100, 100])


def draw(rate=0.3, seed=0, stream="a", step=5):
    return dropout(ONES, rate, seed, stream, tf.constant(step, tf.int64)).numpy()


def test_the_rate_and_the_scale():
    dropped = draw()
    assert np.unique(dropped) == pytest.approx([0.0, 1 / 0.7])
    assert np.mean(dropped == 0) == pytest.approx(0.3, abs=0.02)


def test_a_function_of_seed_stream_and_step():
    np.testing.assert_array_equal(draw(), draw())
    for other in ({"seed": 1}, {"stream": "b"}, {"step": 6}):
        assert not np.array_equal(draw(), draw(**other))


def test_no_dropout():
    assert dropout(ONES, 0.0, 0, "a", tf.constant(0)) is ONES
