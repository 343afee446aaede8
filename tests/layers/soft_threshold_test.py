import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.layers.soft_threshold import SoftThresholdEmbedding, SoftThresholdTables


@pytest.mark.parametrize(
    ("granularity", "shape"),
    [("global", (1, 1)), ("row", (6, 1)), ("dimension", (1, 3)), ("weight", (6, 3))],
)
def test_thresholds_of_each_granularity(rng, granularity, shape):
    layer = SoftThresholdEmbedding(
        6, 3, granularity=granularity, initial_threshold=-1.0
    )
    layer(tf.constant([0]))
    thresholds = rng.normal(size=shape).astype(np.float32)
    table = rng.normal(size=(6, 3)).astype(np.float32)
    layer.thresholds.assign(thresholds)
    layer.embeddings.assign(table)
    limit = np.broadcast_to(1 / (1 + np.exp(-thresholds)), (6, 3))
    expected = np.sign(table) * np.maximum(0, np.abs(table) - limit)
    np.testing.assert_allclose(layer.whole(), expected, rtol=1e-4, atol=1e-6)
    rows = np.array([[5, 0], [2, 2]])
    np.testing.assert_allclose(layer(rows), expected[rows], rtol=1e-4, atol=1e-6)
    inputs = rng.normal(size=(2, 3)).astype(np.float32)
    products = layer.products(tf.constant(inputs))
    np.testing.assert_allclose(products, inputs @ expected.T, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(layer.margins(), np.abs(table) - limit, rtol=1e-4)


def test_a_weight_below_its_threshold_has_no_gradient():
    layer = SoftThresholdEmbedding(
        1,
        2,
        keras.initializers.Constant([[0.9, 0.1]]),
        granularity="weight",
        initial_threshold=0.0,
    )
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant([0])) * [[2.0, 3.0]])
    of_table, of_thresholds = tape.gradient(loss, layer.trainable_variables)
    np.testing.assert_allclose(tf.convert_to_tensor(of_table), [[2, 0]])
    # d sigmoid(0) = 1/4, and a higher threshold takes away.
    np.testing.assert_allclose(tf.convert_to_tensor(of_thresholds), [[-0.5, 0]])


def test_an_unknown_granularity():
    with pytest.raises(UserError, match="must be one of global, row"):
        SoftThresholdEmbedding(1, 1, granularity="user", initial_threshold=0.0)


@pytest.mark.parametrize("joint", [True, False])
def test_l2_is_of_the_embeddings_alone(joint):
    """It drove thresholds up: S begins at -8, and L2 draws to zero."""
    initial = keras.initializers.RandomNormal(seed=3)
    tables = SoftThresholdTables(5, 4, joint).user_item(3, "t", initial)
    parts = {tables.place(kind)[0] for kind in ("users", "items")}
    for part in parts:
        part(tf.constant([0]))
    with tf.GradientTape() as tape:
        squares = tables.square_sum()
    expected = sum(np.square(part.embeddings.numpy()).sum() for part in parts)
    assert float(squares) == pytest.approx(expected, rel=1e-6)
    thresholds = [part.thresholds for part in parts]
    assert tape.gradient(squares, thresholds) == [None] * len(parts)
