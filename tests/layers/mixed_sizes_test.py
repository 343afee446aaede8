import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.layers import mixed_sizes

BUCKETS = np.array([0, 1, 1, 0, 2])


def _layer(**changed):
    initial = keras.initializers.RandomNormal(stddev=0.5, seed=1)
    settings = {"sizes": (1, 2, 4), "buckets": BUCKETS, "hidden": 6, **changed}
    layer = mixed_sizes.MixedEmbedding(5, 4, embeddings_initializer=initial, **settings)
    layer(tf.constant([0]))
    return layer


def _by_hand(layer, logits):
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weights = weights[BUCKETS]
    made = [
        weights[:, [k]] * np.tanh(table.numpy() @ map_.numpy())
        for k, (table, map_) in enumerate(
            zip(layer.candidates, layer.maps, strict=True)
        )
    ]
    return sum(made), weights


def test_rows_by_hand(rng):
    layer = _layer()
    shapes = [tuple(table.shape) for table in layer.candidates]
    assert shapes == [(5, 1), (5, 2), (5, 4)]
    layer.controller.kernel.assign(rng.normal(size=(6, 3)))
    expected, weights = _by_hand(layer, layer.logits().numpy())
    np.testing.assert_allclose(layer.whole(), expected, rtol=1e-5, atol=1e-6)
    rows = np.array([[4, 0], [2, 2]])
    np.testing.assert_allclose(layer(rows), expected[rows], rtol=1e-5, atol=1e-6)
    inputs = rng.normal(size=(2, 4)).astype(np.float32)
    products = layer.products(tf.constant(inputs))
    np.testing.assert_allclose(products, inputs @ expected.T, rtol=1e-4, atol=1e-5)
    mean_size = (weights @ [1, 2, 4]).mean()
    assert layer.mean_size() == pytest.approx(mean_size, rel=1e-5)
    # Each map once, and a product with each weight.
    assert layer.row_macs() == (1 + 2 + 4) * 4 + 3 * 4


def test_a_row_that_is_there_twice_gets_both_gradients(rng):
    layer = _layer()
    rows, weights = np.array([2, 0, 2, 2]), rng.normal(size=(4, 4)).astype(np.float32)

    def gradients(looked_up, weights):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(looked_up) * weights)
        found = tape.gradient(loss, layer.trainable_variables)
        return [tf.convert_to_tensor(each).numpy() for each in found]

    together = gradients(rows, weights)
    apart = [gradients(rows[[j]], weights[[j]]) for j in range(4)]
    for ours, *each in zip(together, *apart, strict=True):
        np.testing.assert_allclose(ours, sum(each), rtol=1e-4, atol=1e-6)


def test_it_begins_with_equal_weights_on_one_scale():
    initial = keras.initializers.RandomNormal(stddev=0.1, seed=1)
    buckets = np.zeros(4000, int)
    layer = mixed_sizes.MixedEmbedding(4000, 32, (1, 8, 32), initial, buckets)
    layer(tf.constant([0]))
    np.testing.assert_array_equal(layer.logits(), np.zeros((1, 3)))
    for table, map_ in zip(layer.candidates[1:], layer.maps[1:], strict=True):
        mapped = table.numpy() @ map_.numpy()
        assert np.std(mapped) / 3 == pytest.approx(0.1, rel=0.3)
    # Streams of their own: no candidate is a part of another.
    small, large = layer.candidates[1].numpy(), layer.candidates[2].numpy()
    assert abs(np.corrcoef(small[:, 0], large[:, 0])[0, 1]) < 0.1


def test_the_controller_is_no_trainable_variable():
    layer = _layer()
    trained = {id(variable) for variable in layer.trainable_variables}
    assert len(trained) == 6  # candidates and maps
    controller = layer.controller.variables
    assert len(controller) == 3
    assert not trained & {id(variable) for variable in controller}
    assert {id(v) for v in controller} < {id(v) for v in layer.variables}


def test_given_weights_are_fixed():
    mixture = _layer().mixture()
    logits = np.array([[0.0, 1, 2], [2, 0, -1], [9, 0, 0]], np.float32)
    layer = _layer(logits=logits)
    assert layer.controller is None
    expected, _ = _by_hand(layer, logits)
    np.testing.assert_allclose(layer.whole(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.mixture().logits, logits)
    np.testing.assert_array_equal(mixture.buckets, BUCKETS)
    assert len(layer.trainable_variables) == 6


def test_tables_of_users_and_items():
    tables = mixed_sizes.MixedTables(
        np.array([1, 5]), np.array([1, 1, 40]), True, (0.5, 1.0), hidden=3
    )
    initial = keras.initializers.RandomNormal(seed=3)
    joint = tables.user_item(4, "both", initial)
    assert joint.users(np.array([1])).shape == (1, 4)
    assert joint.whole().shape == (5, 4)
    np.testing.assert_array_equal(joint.table.buckets, [0, 1, 2, 2, 3])
    one = tables.one("items", 6, "items", initial)
    assert one(np.array([2])).shape == (1, 6)
    assert one.table.sizes == (3, 6)
