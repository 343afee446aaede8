import functools

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from dsl_tf.layers.propagation import Edges, MeanPropagation
from dsl_tf.storage import expansion


def rows_of(propagation):
    """Its rows as a function of a dense table."""
    return lambda table, *args: expansion.through(
        [expansion.of_tensor(table)], propagation.rows(*args)
    )


@pytest.fixture
def graph(rng):
    """A symmetric matrix of nine nodes; the last has no edge."""
    matrix = np.triu(rng.normal(size=(9, 9)) * (rng.random((9, 9)) < 0.4))
    matrix += matrix.T
    matrix[-1] = matrix[:, -1] = 0
    return matrix.astype(np.float32)


@pytest.fixture(params=[1, 2, 4], ids="{} blocks".format)
def blocks(request):
    """Into which nine rows are parted: 9; 5 and 4; 3, 3 and 3."""
    return request.param


@pytest.fixture(params=[None, [4, 8, 0, 2, 7, 1, 3, 6, 5]], ids=["as is", "ordered"])
def propagation(graph, blocks, request):
    """Makes a propagation over the graph, in one order of computation or another."""
    order = request.param and np.array(request.param)
    return functools.partial(
        MeanPropagation, scipy.sparse.csr_matrix(graph), order=order, blocks=blocks
    )


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_it_is_the_mean_of_the_powers(graph, propagation, rng, layers):
    table = rng.normal(size=(9, 4)).astype(np.float32)
    powers = [np.linalg.matrix_power(graph, k) for k in range(layers + 1)]
    expected = np.mean([power @ table for power in powers], axis=0)
    propagate = propagation(layers)
    np.testing.assert_allclose(propagate(tf.constant(table)), expected, rtol=1e-4)
    in_graph = tf.function(propagate)(tf.constant(table))
    np.testing.assert_allclose(in_graph, expected, rtol=1e-4)
    np.testing.assert_allclose(in_graph[-1], table[-1] / (layers + 1), rtol=1e-6)
    rows, own = rows_of(propagate)(tf.constant(table), tf.constant([8, 2, 2, 0]))
    np.testing.assert_allclose(rows, expected[[8, 2, 2, 0]], rtol=1e-4)
    np.testing.assert_array_equal(own, table[[8, 2, 2, 0]])


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_gradient_is_that_of_the_dense_product(graph, propagation, rng, weight):
    table = tf.constant(rng.normal(size=(9, 4)).astype(np.float32))
    propagate = propagation(2)
    dense = (np.eye(9) + graph + graph @ graph).astype(np.float32) / 3
    nodes = tf.constant([0, 3, 3, 8])

    def gradient(rows):
        with tf.GradientTape() as tape:
            tape.watch(table)
            propagated, own = rows(table)
            loss = tf.reduce_sum(propagated**3) + weight * tf.reduce_sum(own**2)
        return tf.convert_to_tensor(tape.gradient(loss, table))

    expected = gradient(
        lambda x: (tf.gather(tf.matmul(dense, x), nodes), tf.gather(x, nodes))
    )
    found = gradient(lambda x: rows_of(propagate)(x, nodes))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4)


def test_hidden_edges_are_out_of_the_graph_and_of_the_gradient(graph, propagation, rng):
    ends = np.argwhere(np.triu(graph, 1))[[0, 2, 3]]
    without = graph.copy()
    without[tuple(ends.T)] = without[tuple(ends[:, ::-1].T)] = 0
    dense = sum(np.linalg.matrix_power(without, k) for k in range(4)) / 4
    table = tf.constant(rng.normal(size=(9, 4)).astype(np.float32))
    nodes = tf.constant([1, 7, 7, 0])
    # One of them is given twice.
    begin, end = np.concatenate([ends, ends[:1]]).T.astype(np.int32)
    hidden = Edges(*map(tf.constant, (begin, end, graph[begin, end])))

    def gradient(rows):
        with tf.GradientTape() as tape:
            tape.watch(table)
            propagated, own = rows(table)
            loss = tf.reduce_sum(propagated**3) + tf.reduce_sum(own**2)
        return propagated, tf.convert_to_tensor(tape.gradient(loss, table))

    propagate = tf.function(rows_of(propagation(3)))
    expected = gradient(
        lambda x: (tf.gather(tf.matmul(dense, x), nodes), tf.gather(x, nodes))
    )
    found = gradient(lambda x: propagate(x, nodes, hidden))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_without_layers_it_is_the_table(propagation):
    table = tf.reshape(tf.range(36.0), [9, 4])
    with tf.GradientTape() as tape:
        tape.watch(table)
        rows, own = rows_of(propagation(0))(table, tf.constant([8, 1, 8]))
        loss = tf.reduce_sum(rows) + 10 * tf.reduce_sum(own)
    np.testing.assert_array_equal(rows, own)
    expected = np.zeros((9, 4))
    expected[[1, 8]] = [[11], [22]]
    np.testing.assert_array_equal(tape.gradient(loss, table), expected)


def test_macs_are_those_of_the_rows_that_edges_lead_to(graph, propagation, rng):
    table = rng.normal(size=(9, 4)) * (rng.random((9, 4)) < 0.3)
    table = table.astype(np.float32)
    edges = graph != 0
    second = table + graph @ table  # a layer's own rows are summed on the way
    expected = [
        sum(np.count_nonzero(operand[end]) for _, end in np.argwhere(edges))
        for operand in (table, second)
    ]
    assert propagation(2).macs(tf.constant(table)) == expected
    # It fills.
    assert expected[0] < expected[1] <= 4 * np.count_nonzero(edges)
