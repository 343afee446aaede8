import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf import storage
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.errors import UserError
from dsl_tf.layers.conversion import convert, copy_model, copy_weight
from dsl_tf.layers.dense import SparseDense
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.storage import slots

WAYS = list(itertools.permutations(storage.names(), 2))
X = np.arange(48).reshape(16, 3) * 7 % 40
Y = np.sin(X.sum(axis=1, keepdims=True)).astype(np.float32)


def make(name, seed=0):
    return keras.Sequential(
        [
            SparseEmbedding(40, 9, 0.6, storage=name, seed=seed, input_length=3),
            keras.layers.Flatten(),
            SparseDense(5, 0.5, storage=name, seed=seed, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )


def train(model, dynamic=None):
    dynamic = dynamic or DynamicSparseTraining(0.3, 2)
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0, callbacks=[dynamic])


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_a_trained_model_changes_its_storage(source, target, tmp_path):
    model = make(source)
    model.compile("adam", "mse")
    train(model)
    converted = convert(model, target)
    np.testing.assert_array_equal(converted(X), model(X))
    assert converted.layers[0].storage == converted.layers[2].storage == target
    for old, new in zip(model.layers, converted.layers, strict=True):
        for a, b in zip(
            getattr(old, "own_sparse_weights", []),
            getattr(new, "own_sparse_weights", []),
            strict=True,
        ):
            np.testing.assert_array_equal(a.mask(), b.mask())
    converted.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))
    np.testing.assert_array_equal(convert(converted, source)(X), model(X))


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_use_of_rows_is_converted_too(source, target):
    """Criteria that ask for it took every row for as popular as any other."""
    use = np.arange(40.0)
    table = SparseEmbedding(40, 9, 0.6, storage=source, popularity=use, input_length=3)
    model = keras.Sequential([table, keras.layers.Flatten(), keras.layers.Dense(1)])
    (layer, *_) = convert(model, target).layers
    np.testing.assert_array_equal(layer.popularity, use)
    np.testing.assert_array_equal(layer.embeddings.use, use)


def adam():
    return keras.optimizers.Adam(0.1)


def scaled_adam():
    return keras.mixed_precision.LossScaleOptimizer(adam())


def legacy_adam():
    return keras.optimizers.legacy.Adam(0.1)


@pytest.mark.parametrize("make_optimizer", [adam, scaled_adam, legacy_adam])
@pytest.mark.parametrize(("source", "target"), WAYS)
def test_with_its_moments_training_goes_on_bit_for_bit(source, target, make_optimizer):
    model = make(source)
    model.compile(make_optimizer(), "mse")
    train(model)
    other = convert(model, target)
    other.compile(make_optimizer(), "mse")
    slots.create(other.optimizer, other.trainable_variables)
    copy_model(model, other)
    assert int(other.optimizer.iterations) == int(model.optimizer.iterations)
    for each in (model, other):
        train(each, DynamicSparseTraining(0.3, 2, end_step=20))
    np.testing.assert_array_equal(other(X), model(X))


def test_moments_that_were_copied_stay():
    """Those of a model that had been trained for as long began anew."""
    model, other = make("packed", seed=0), make("packed", seed=1)
    for each in (model, other):
        each.compile(adam(), "mse")
        train(each)
    copy_model(model, other)
    for each in (model, other):  # a warning would be an error
        train(each, DynamicSparseTraining(0.3, 2, end_step=20))
    np.testing.assert_array_equal(other(X), model(X))


class Scaled(keras.layers.Layer):
    """Has a weight of its own beside a layer."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", initializer="uniform")
        self.dense = keras.layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs) * self.scale


def test_nested_models_and_composite_layers():
    rows = keras.Input([3], dtype="int32")
    inner = keras.Sequential([SparseEmbedding(9, 4, 0.5, storage="masked")])
    model = keras.Model(rows, Scaled()(inner(rows)))
    converted = convert(model, "packed")
    np.testing.assert_array_equal(converted(X[:2] % 9), model(X[:2] % 9))
    kinds = [
        layer.storage
        for layer in converted._flatten_layers()
        if hasattr(layer, "storage")
    ]
    assert kinds == ["packed"]


def test_a_sparse_layer_inside_a_layer_is_refused():
    inner = SparseDense(2, 0.5, storage="masked")
    model = keras.Sequential([keras.Input([4, 3]), keras.layers.TimeDistributed(inner)])
    with pytest.raises(UserError, match="not those inside other layers"):
        convert(model, "packed")


def test_errors():
    model = make("packed")
    with pytest.raises(UserError, match="`storage` must be one of"):
        convert(model, "dense")
    with pytest.raises(UserError, match=r"Sequential or functional.*Received: Model"):
        convert(keras.Model(), "packed")
    weights = []
    for shape in ((4, 3), (4, 4)):
        layer = SparseEmbedding(*shape, 0.0)
        layer(tf.constant([0]))
        weights.append(layer.embeddings)
    with pytest.raises(
        UserError, match=r"same shape and non-zeros\. Received: .*12.* and "
    ):
        copy_weight(*weights)
