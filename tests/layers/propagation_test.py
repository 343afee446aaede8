import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from dsl_tf.layers.propagation import MeanPropagation


@pytest.fixture
def graph(rng):
    """A symmetric matrix of nine nodes; the last has no edge."""
    matrix = np.triu(rng.normal(size=(9, 9)) * (rng.random((9, 9)) < 0.4))
    matrix += matrix.T
    matrix[-1] = matrix[:, -1] = 0
    return matrix.astype(np.float32)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_it_is_the_mean_of_the_powers(graph, rng, layers):
    table = rng.normal(size=(9, 4)).astype(np.float32)
    powers = [np.linalg.matrix_power(graph, k) for k in range(layers + 1)]
    expected = np.mean([power @ table for power in powers], axis=0)
    propagate = MeanPropagation(scipy.sparse.csr_matrix(graph), layers)
    np.testing.assert_allclose(propagate(tf.constant(table)), expected, rtol=1e-4)
    in_graph = tf.function(propagate)(tf.constant(table))
    np.testing.assert_allclose(in_graph, expected, rtol=1e-4)
    np.testing.assert_allclose(in_graph[-1], table[-1] / (layers + 1), rtol=1e-6)


def test_the_gradient_is_that_of_the_dense_product(graph, rng):
    table = tf.constant(rng.normal(size=(9, 4)).astype(np.float32))
    propagate = MeanPropagation(scipy.sparse.csr_matrix(graph), 2)
    dense = (np.eye(9) + graph + graph @ graph).astype(np.float32) / 3

    def gradient(function):
        with tf.GradientTape() as tape:
            tape.watch(table)
            # Of some rows only, and not linear.
            loss = tf.reduce_sum(tf.gather(function(table), [0, 3, 3, 8]) ** 3)
        return tf.convert_to_tensor(tape.gradient(loss, table))

    expected = gradient(lambda x: tf.matmul(dense, x))
    np.testing.assert_allclose(gradient(propagate), expected, rtol=2e-3, atol=1e-4)
