import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.layers.dense import SparseDense


def test_without_pruning_it_is_a_keras_dense(rng):
    kernel = rng.normal(size=(5, 3))
    settings = {
        "activation": "tanh",
        "kernel_initializer": keras.initializers.Constant(kernel),
        "bias_initializer": keras.initializers.Constant([1.0, 2.0, 3.0]),
    }
    ours = SparseDense(3, 0.0, **settings)
    theirs = keras.layers.Dense(3, **settings)
    for shape in ((2, 5), (2, 4, 5)):
        inputs = rng.normal(size=shape).astype(np.float32)
        np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-5)
        assert ours.compute_output_shape(shape) == (*shape[:-1], 3)


def test_the_bias_stays_dense():
    layer = SparseDense(40, 0.9)
    layer.build((None, 50))
    assert layer.kernel.nnz == 200
    assert [v.shape.as_list() for v in layer.trainable_weights] == [[200], [40]]
    assert len(SparseDense(4, 0.5, use_bias=False)(tf.ones([1, 4]))) == 1


def test_inputs_of_another_width_are_refused():
    layer = SparseDense(3, 0.5)
    layer(tf.ones([2, 4]))
    with pytest.raises(ValueError, match="expected axis -1"):
        layer(tf.ones([1, 8]))


def test_an_unknown_width_is_refused():
    with pytest.raises(UserError, match="last dimension of the input"):
        SparseDense(3, 0.5).build((None, None))


def test_units_must_be_positive():
    with pytest.raises(
        UserError, match=r"`units` must be at least 1\. Received: units=0"
    ):
        SparseDense(0, 0.5)


def test_mixed_precision():
    layer = SparseDense(3, 0.5, dtype="mixed_float16")
    assert layer(tf.ones([2, 4])).dtype == tf.float16
    assert layer.kernel.values.dtype == tf.float32


def test_an_activity_regularizer_is_saved():
    layer = SparseDense(4, 0.5, activity_regularizer="l2")
    again = SparseDense.from_config(layer.get_config())
    assert again.activity_regularizer.get_config() == {"l2": pytest.approx(0.01)}
    x = tf.ones([2, 3])
    again(x)
    assert len(again.losses) == 1
    assert SparseDense(4, 0.5).get_config()["activity_regularizer"] is None
