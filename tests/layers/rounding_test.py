import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from dsl_tf.export.quantize import quantize_rows
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.layers.rounding import rounded_rows


@pytest.mark.parametrize("largest_code", [7, 127])
def test_rows_are_what_a_files_codes_give_back(rng, largest_code):
    scales = 10.0 ** rng.uniform(-12, 3, size=(500, 1))
    rows = (rng.normal(size=(500, 17)) * scales).astype(np.float32)
    rows[3] = 0.0
    rows[4, 1:] = 0.0
    matrix = scipy.sparse.csr_matrix(rows)
    codes, scale = quantize_rows(matrix, largest_code)
    matrix.data = codes * np.repeat(scale, np.diff(matrix.indptr))
    found = rounded_rows(tf.constant(rows), largest_code).numpy()
    np.testing.assert_array_equal(found, matrix.toarray())


def test_what_was_rounded_to_int4_is_stored_as_it_is(rng):
    rows = tf.constant(rng.normal(size=(500, 17)), tf.float32)
    found = rounded_rows(rows, 7)
    np.testing.assert_array_equal(rounded_rows(found, 7), found)


def test_gradients_pass_as_if_nothing_was_rounded():
    rows = tf.constant([[0.7, -0.31, 0.02]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        found = rounded_rows(rows, 7)
        loss = tf.reduce_sum(found * [[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(found, [[0.7, -0.3, 0.0]], atol=3e-3)
    np.testing.assert_array_equal(tape.gradient(loss, rows), [[1.0, 2.0, 3.0]])


def test_the_weights_of_a_layer_stay_as_they_are_learned():
    layer = SparseEmbedding(6, 5, 0.5, largest_code=7)
    ids = tf.constant([[0, 4], [4, 5]])
    with tf.GradientTape() as tape:
        rows = layer(ids)
        loss = tf.reduce_sum(rows)
    weight = layer.embeddings
    exact = tf.gather(weight.read(), ids)
    assert np.abs(rows - exact).max() > 0
    np.testing.assert_array_equal(rows, rounded_rows(exact, 7))
    used = weight.mask()[[0, 4, 5]] * np.array([[1.0], [2.0], [1.0]])
    gradient = tf.convert_to_tensor(tape.gradient(loss, weight.values))
    np.testing.assert_array_equal(
        np.sort(gradient.numpy().reshape(-1)), np.sort(_padded(used, gradient))
    )
    again = SparseEmbedding.from_config(layer.get_config())
    assert again.largest_code == 7


def _padded(used, gradient):
    """The entries that are not zero, and as many zeros as the gradient has room for."""
    entries = used[used > 0]
    return np.pad(entries, (0, gradient.numpy().size - len(entries)))
