import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.export.quantize import quantize_rows
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.layers.rounding import mean_square_of, rounded_by_row, rounded_by_table


@pytest.mark.parametrize("largest_code", [7, 127])
def test_rows_are_what_a_files_codes_give_back(rng, largest_code):
    scales = 10.0 ** rng.uniform(-12, 3, size=(500, 1))
    rows = (rng.normal(size=(500, 17)) * scales).astype(np.float32)
    rows[3] = 0.0
    rows[4, 1:] = 0.0
    matrix = scipy.sparse.csr_matrix(rows)
    codes, scale = quantize_rows(matrix, largest_code)
    matrix.data = codes * np.repeat(scale, np.diff(matrix.indptr))
    found = rounded_by_row(tf.constant(rows), largest_code).numpy()
    np.testing.assert_array_equal(found, matrix.toarray())


def test_what_was_rounded_to_int4_is_stored_as_it_is(rng):
    rows = tf.constant(rng.normal(size=(500, 17)), tf.float32)
    found = rounded_by_row(rows, 7)
    np.testing.assert_array_equal(rounded_by_row(found, 7), found)


def test_gradients_pass_as_if_nothing_was_rounded():
    rows = tf.constant([[0.7, -0.31, 0.02]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        found = rounded_by_row(rows, 7)
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
    np.testing.assert_array_equal(rows, rounded_by_row(exact, 7))
    used = weight.mask()[[0, 4, 5]] * np.array([[1.0], [2.0], [1.0]])
    gradient = tf.convert_to_tensor(tape.gradient(loss, weight.values))
    np.testing.assert_array_equal(
        np.sort(gradient.numpy().reshape(-1)), np.sort(_padded(used, gradient))
    )
    again = SparseEmbedding.from_config(layer.get_config())
    assert again.largest_code == 7


def test_one_step_for_all_rows_by_hand():
    """Of int4 it is √(2 ln 16) / 7 = .33640 times the root mean square, here 2."""
    mean_square = tf.Variable(4.0)
    rows = tf.constant([[0.7, -0.3, 0.0], [9.0, -9.0, 2.1]])
    found = rounded_by_table(rows, mean_square, 7)
    codes = [[1, 0, 0], [7, -7, 3]]
    np.testing.assert_allclose(found, 0.672806 * np.array(codes), rtol=1e-5)


def test_the_step_follows_what_is_looked_up_in_training():
    mean_square = tf.Variable(1.0)
    rows = tf.constant([[3.0, 0.0, 1.0]])  # of a weight that is not there no square
    assert float(mean_square_of(rows)) == 5.0
    rounded_by_table(rows, mean_square, 7)
    assert float(mean_square) == 1.0
    with tf.GradientTape() as tape:
        tape.watch(rows)
        loss = tf.reduce_sum(rounded_by_table(rows, mean_square, 7) * [[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(tape.gradient(loss, rows), [[1.0, 2.0, 3.0]])
    assert float(mean_square) == pytest.approx(1.04)
    for _ in range(2000):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            loss = tf.reduce_sum(rounded_by_table(rows, mean_square, 7))
        tape.gradient(loss, rows)
    assert float(mean_square) == pytest.approx(5.0, rel=1e-4)


@pytest.mark.parametrize("storage", ["packed", "masked"])
def test_a_layer_begins_with_the_step_of_its_weights(storage):
    layer = SparseEmbedding(
        40, 8, 0.5, "normal", largest_code=7, step="table", storage=storage
    )
    ids = tf.range(40)
    rows = layer(ids).numpy()
    weights = layer.whole().numpy()
    root = np.sqrt(np.mean(np.square(weights[weights != 0])))
    step, largest_code = layer.rounding
    assert largest_code == 7
    assert step == pytest.approx(0.33640 * root, rel=1e-4)
    codes = rows / step
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-5)
    assert np.abs(codes).max() == pytest.approx(7)
    inside = np.abs(weights) < 7 * step
    assert np.abs(rows - weights)[inside].max() <= 0.51 * step
    again = SparseEmbedding.from_config(layer.get_config())
    assert again.step == "table"
    assert SparseEmbedding(6, 5, 0.5, largest_code=7).rounding is None


def test_another_step_is_refused():
    with pytest.raises(UserError, match=r"row or table\. Received: 'column'"):
        SparseEmbedding(6, 5, 0.5, largest_code=7, step="column")


def _padded(used, gradient):
    """The entries that are not zero, and as many zeros as the gradient has room for."""
    entries = used[used > 0]
    return np.pad(entries, (0, gradient.numpy().size - len(entries)))
