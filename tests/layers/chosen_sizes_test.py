import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.layers import chosen_sizes

CHOSEN = np.array([0, 2, 1, 0, 2])


def _layer(width=4, sizes=(1, 2, 4), **changed):
    initial = keras.initializers.RandomNormal(stddev=0.5, seed=1)
    settings = {"buckets": np.zeros(5, int), "chosen": CHOSEN, **changed}
    layer = chosen_sizes.ChosenEmbedding(5, width, sizes, initial, **settings)
    layer(tf.constant([0]))
    return layer


def _by_hand(layer, chosen):
    rows = []
    for i, k in enumerate(chosen):
        row = layer.candidates[k].numpy()[i]
        for map_ in layer.maps[k:]:
            row = row @ map_.numpy()
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize(("width", "maps"), [(4, 2), (6, 3)])
def test_rows_by_hand(rng, width, maps):
    """The largest size is the row itself, or has a map to it."""
    layer = _layer(width)
    assert len(layer.maps) == maps
    expected = _by_hand(layer, CHOSEN)
    np.testing.assert_allclose(layer.whole(), expected, rtol=1e-5, atol=1e-6)
    rows = np.array([[4, 0, 3], [2, 2, 1]])
    np.testing.assert_allclose(layer(rows), expected[rows], rtol=1e-5, atol=1e-6)
    inputs = rng.normal(size=(2, width)).astype(np.float32)
    products = layer.products(tf.constant(inputs))
    np.testing.assert_allclose(products, inputs @ expected.T, rtol=1e-4, atol=1e-5)
    assert layer.taken() == 1 + 4 + 2 + 1 + 4
    # Rows of the width itself are not mapped.
    mapped = 1 + 2 + 1 if width == 4 else layer.taken()
    assert layer.row_macs() == pytest.approx(mapped * width / 5)


def test_rows_of_every_size_begin_with_the_norm_of_a_dense_one():
    initial = keras.initializers.RandomNormal(stddev=0.1, seed=1)
    buckets, chosen = np.zeros(900, int), np.repeat([0, 1, 2], 300)
    layer = chosen_sizes.ChosenEmbedding(900, 32, (4, 8, 32), initial, buckets, chosen)
    squares = np.square(layer.whole().numpy()).sum(axis=1).reshape(3, 300).mean(axis=1)
    np.testing.assert_allclose(squares, 32 * 0.1**2, rtol=0.15)


def test_gradients_reach_the_table_of_a_row_alone():
    layer = _layer()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant([2, 0])) * [1.0, 2.0, 3.0, 4.0])
    gradients = [
        tf.convert_to_tensor(each).numpy()
        for each in tape.gradient(loss, layer.candidates)
    ]
    assert [np.flatnonzero(each.any(axis=1)).tolist() for each in gradients] == [
        [0],
        [2],
        [],
    ]
    to_width = layer.maps[1].numpy()
    np.testing.assert_allclose(gradients[1][2], to_width @ [1, 2, 3, 4], rtol=1e-5)


def test_a_row_that_grows_stays_what_it_is():
    layer = _layer()
    before = layer.whole().numpy()
    small = layer.candidates[0].numpy()[[3, 0]]
    layer.grow(np.array([3, 2, 0]))
    np.testing.assert_array_equal(layer.size_of(), [1, 2, 2, 1, 2])
    larger = layer.candidates[1].numpy()[[3, 0]]
    np.testing.assert_allclose(larger, small @ layer.maps[0].numpy(), rtol=1e-6)
    np.testing.assert_allclose(layer.whole(), before, rtol=1e-4, atol=1e-6)
    assert layer.taken() == 2 + 4 + 4 + 2 + 4
    layer.grow(np.array([], int))
    np.testing.assert_array_equal(layer.size_of(np.array([0, 4])), [1, 2])
    with pytest.raises(UserError, match=r"below the largest.*Received: sizes \[1, 2\]"):
        layer.grow(np.array([0, 1]))


def test_a_compact_table_holds_what_is_used():
    layer = _layer()
    compact = _layer(compact=True)
    compact.set_used(layer.used())
    shapes = [tuple(table.shape) for table in compact.candidates]
    assert shapes == [(2, 1), (1, 2), (2, 4)]
    np.testing.assert_array_equal(compact.whole(), layer.whole())
    assert compact.taken() == layer.taken()
    with pytest.raises(UserError, match="compact=True"):
        compact.grow(np.array([0]))


def test_a_size_that_nobody_has():
    layer = _layer(chosen=np.array([2, 2, 0, 0, 0]))
    compact = _layer(chosen=np.array([2, 2, 0, 0, 0]), compact=True)
    compact.set_used(layer.used())
    assert compact.candidates[1].shape == (0, 2)
    np.testing.assert_array_equal(compact.whole(), layer.whole())


def test_all_begin_with_the_smallest_size():
    tables = chosen_sizes.ChosenTables(
        np.array([1, 5]), np.array([1, 1, 40]), False, (0.25, 1.0)
    )
    pair = tables.user_item(8, "t", keras.initializers.RandomNormal(seed=3))
    assert pair.whole().shape == (5, 8)
    layers = pair.user_table, pair.item_table
    assert [each.kind for each in layers] == ["users", "items"]
    assert [each.size_of().tolist() for each in layers] == [[0, 0], [0, 0, 0]]
