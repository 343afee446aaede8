import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.layers import histories

ITEMS = 7
#: Not ascending, and one that is empty.
HISTORIES = [[3, 0, 6], [], [0], [6, 5, 3, 0]]


@pytest.fixture
def table(rng):
    return tf.constant(rng.normal(size=(ITEMS, 4)).astype(np.float32))


def _binary(ragged):
    matrix = np.zeros((len(ragged), ITEMS), np.float32)
    for row, items in enumerate(ragged):
        matrix[row, items] = 1
    return matrix


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
@pytest.mark.parametrize("in_graph", [False, True])
def test_sums_and_their_gradient_are_those_of_the_dense_product(table, dtype, in_graph):
    ragged = tf.ragged.constant(HISTORIES, dtype)

    def gradient(function):
        with tf.GradientTape() as tape:
            tape.watch(table)
            summed = function(table)
            loss = tf.reduce_sum(summed**3)  # not linear
        return summed, tf.convert_to_tensor(tape.gradient(loss, table))

    def found(table):
        return histories.sums(lambda items: tf.gather(table, items), ragged, ITEMS)

    dense = _binary(HISTORIES)
    expected = gradient(lambda table: tf.matmul(dense, table))
    wrapped = tf.function(gradient) if in_graph else gradient
    for mine, other in zip(wrapped(found), expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)


def test_an_item_is_looked_up_once_and_in_ascending_order(table):
    seen = []

    def look_up(items):
        seen.append(items.numpy().tolist())
        return tf.gather(table, items)

    histories.sums(look_up, tf.ragged.constant(HISTORIES, tf.int32), ITEMS)
    assert seen == [[0, 3, 5, 6]]


@pytest.mark.parametrize("users", [0, 3])
def test_without_items_sums_are_zero(table, users):
    """TensorFlow's product with an empty CSR matrix divides by zero."""
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.zeros([0], tf.int32), tf.zeros([users], tf.int64)
    )
    summed = histories.sums(lambda items: tf.gather(table, items), ragged, ITEMS)
    np.testing.assert_array_equal(summed, np.zeros((users, 4)))


def test_sums_are_the_same_bit_for_bit(rng):
    table = tf.constant(rng.normal(size=(500, 64)).astype(np.float32))
    lengths = rng.integers(0, 100, 200)
    ragged = tf.RaggedTensor.from_row_lengths(
        rng.integers(0, 500, lengths.sum()).astype(np.int32), lengths
    )

    def run():
        with tf.GradientTape() as tape:
            tape.watch(table)
            summed = histories.sums(lambda i: tf.gather(table, i), ragged, 500)
            loss = tf.reduce_sum(tf.tanh(summed))
        return summed.numpy(), tf.convert_to_tensor(tape.gradient(loss, table)).numpy()

    first, again = run(), run()
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def _corrupt(ragged, rate=0.3, seed=0, stream="a", step=5):
    step = tf.constant(step, tf.int64)
    return histories.corrupted(ragged, rate, seed, stream, step)


@pytest.fixture
def long():
    values = tf.tile(tf.range(100), [100])
    return tf.RaggedTensor.from_uniform_row_length(values, 100)


def test_corruption_leaves_out_the_share_of_each_history(long):
    kept = _corrupt(long)
    assert kept.nrows() == 100
    lengths = kept.row_lengths().numpy()
    assert lengths.mean() == pytest.approx(70, abs=1)
    assert lengths.std() > 2
    for items in kept:
        assert set(np.diff(items)) > {1}  # ascending, with gaps


def test_corruption_keeps_users_apart():
    kept = _corrupt(tf.ragged.constant([[1], [], [2, 3], [4]], tf.int32), rate=0.5)
    assert kept.nrows() == 4
    for items, all_items in zip(kept.to_list(), [[1], [], [2, 3], [4]], strict=True):
        assert set(items) <= set(all_items)


def test_corruption_is_a_function_of_seed_stream_and_step(long):
    first = _corrupt(long).values.numpy().tolist()
    assert _corrupt(long).values.numpy().tolist() == first
    for other in ({"seed": 1}, {"stream": "b"}, {"step": 6}):
        assert _corrupt(long, **other).values.numpy().tolist() != first


def test_no_corruption(long):
    assert _corrupt(long, rate=0.0) is long
