import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.layers.blockwise import mean_in_blocks


def _function(users, items, matrix, bias):
    """Not linear in anything; the mean over users."""
    scores = tf.einsum("bd,de,bne->bn", users, matrix, items) + bias
    return tf.reduce_mean(tf.reduce_logsumexp(scores, axis=1))


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("pairs_at_once", [1, 3, 7, 15, 100])
def test_value_and_gradients_are_those_of_the_whole_batch(rng, pairs_at_once, graph):
    """Blocks of one user, even where one has more pairs; of 2, 2 and 1; of all."""
    shapes = [(5, 4), (5, 3, 4), (4, 4), ()]
    inputs = [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]

    def both(function):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = 2.0 * function(*inputs)
        return value, tape.gradient(value, inputs)

    def blockwise(users, items, *network):
        return mean_in_blocks(_function, pairs_at_once, users, items, network)

    value, gradients = both(_function)
    run = tf.function(both) if graph else both
    found, found_gradients = run(blockwise)
    np.testing.assert_allclose(found, value, rtol=1e-5)
    for ours, theirs in zip(found_gradients, gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_no_block_is_larger_than_asked(rng):
    seen = []

    def function(users, items):
        seen.append(users.shape[0] * items.shape[1])
        return tf.reduce_mean(users) * tf.reduce_mean(items)

    users = tf.constant(rng.normal(size=(7, 2)), tf.float32)
    items = tf.constant(rng.normal(size=(7, 3, 2)), tf.float32)
    mean_in_blocks(function, 8, users, items, [])
    assert seen == [6, 6, 6, 3]
