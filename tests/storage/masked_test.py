import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.storage.masked import MaskedWeight


def make(layer=None):
    return MaskedWeight(
        layer or keras.layers.Layer(),
        "table",
        (2, 3),
        lambda shape: [np.array([[1, 0, 0], [0, 1, 1]], bool)],
        3,
        keras.initializers.Constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    )


def test_its_variables_are_dense():
    layer = keras.layers.Layer(name="layer")
    weight = make(layer)
    assert [v.name for v in layer.trainable_weights] == ["table:0"]
    assert [v.name for v in layer.non_trainable_weights] == ["table_mask:0"]
    assert layer.non_trainable_weights[0].dtype == tf.bool
    assert weight.values.numpy().tolist() == [[1, 0, 0], [0, 5, 6]]


def test_a_value_assigned_off_the_mask_is_not_seen():
    weight = make()
    weight.values.assign(tf.fill([2, 3], 7.0))
    assert weight.read().numpy().tolist() == [[7, 0, 0], [0, 7, 7]]
    assert weight.active_values().tolist() == [7, 7, 7]
