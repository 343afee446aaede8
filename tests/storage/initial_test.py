import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.storage import base, initial

BLOCK = base.BLOCK_ELEMENTS // 2
SHAPE = (2 * BLOCK + 3, 2)


def draw(initializer, shape=SHAPE):
    starts, blocks = zip(*initial.row_blocks(shape, initializer), strict=True)
    return starts, np.concatenate([block.numpy() for block in blocks])


def test_a_large_matrix_comes_in_blocks():
    starts, matrix = draw(keras.initializers.RandomNormal(stddev=0.5, seed=1))
    assert starts == (0, BLOCK, 2 * BLOCK)
    assert matrix.shape == SHAPE
    assert matrix.std() == pytest.approx(0.5, rel=0.01)
    # No block repeats another.
    assert len(np.unique(matrix)) > 0.98 * matrix.size


def test_it_is_a_function_of_the_seed():
    draws = [draw(keras.initializers.RandomUniform(seed=s))[1] for s in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_a_scale_by_shape_is_that_of_the_whole():
    _, matrix = draw(keras.initializers.GlorotUniform(seed=0))
    limit = np.sqrt(6 / (SHAPE[0] + SHAPE[1]))
    assert 0.99 * limit < np.abs(matrix).max() <= limit


@pytest.mark.parametrize(
    "initializer",
    [
        lambda shape, dtype=None: tf.ones(shape, dtype),
        type("Own", (keras.initializers.Ones,), {})(),
        keras.initializers.Constant(np.arange(SHAPE[0] * 2).reshape(SHAPE)),
    ],
)
def test_others_are_drawn_as_a_whole(initializer):
    starts, matrix = draw(initializer)
    assert starts == (0,)
    np.testing.assert_array_equal(matrix, initializer(SHAPE, dtype=tf.float32))


def test_a_small_matrix_is_what_keras_draws():
    _, matrix = draw(keras.initializers.RandomNormal(seed=3), (5, 4))
    expected = keras.initializers.RandomNormal(seed=3)((5, 4))
    np.testing.assert_array_equal(matrix, expected)
