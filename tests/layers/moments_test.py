"""Weights that are restored without the optimiser that trained them."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf import storage
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.storage import slots

ROWS, WIDTH = 30, 8


@pytest.fixture(params=storage.names())
def model(request):
    table = SparseEmbedding(ROWS, WIDTH, 0.5, storage=request.param, name="table")
    model = keras.Sequential(
        [table, keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse", run_eagerly=True)
    return model


def _fit(model, *callbacks, **settings):
    rng = np.random.default_rng(0)
    x = rng.integers(0, ROWS, (64, 3))
    y = np.sin(x.sum(axis=1, keepdims=True)).astype(np.float32)
    explore = DynamicSparseTraining(0.5, 4, end_step=1000)
    model.fit(
        x, y, 8, verbose=0, shuffle=False, callbacks=[explore, *callbacks], **settings
    )


class _Begins(keras.callbacks.Callback):
    """What the optimiser keeps of the table when the first step begins."""

    moments = None

    def on_train_batch_begin(self, batch, logs=None):
        if self.moments is None:
            weight = self.model.layers[0].embeddings
            found = slots.find(self.model.optimizer, weight.values)
            self.moments = [slot.variable.numpy() for slot in found]


def test_moments_of_a_mask_that_is_gone_begin_anew(model):
    _fit(model)
    before = model.get_weights()
    _fit(model)
    model.set_weights(before)
    begins = _Begins()
    with pytest.warns(UserWarning, match="optimiser was not: .* of table/embeddings"):
        _fit(model, begins)
    assert len(begins.moments) == 2
    assert not any(each.any() for each in begins.moments)


def test_weights_that_a_callback_restores_are_seen(model):
    """At the end of an epoch, or of `fit`, before or after the exploring callback."""

    class Restoring(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.weights = self.model.get_weights()

        def on_train_end(self, logs=None):
            self.model.set_weights(self.weights)

    _fit(model, Restoring())
    with pytest.warns(UserWarning, match="optimiser was not"):
        _fit(model)


def test_values_alone_and_the_same_weights_keep_their_moments(model):
    _fit(model)
    model.set_weights(model.get_weights())
    begins = _Begins()
    _fit(model, begins)  # a warning would be an error
    assert all(each.any() for each in begins.moments)


def test_a_checkpoint_of_both_keeps_the_moments(model, tmp_path):
    _fit(model)
    kept = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    path = kept.write(str(tmp_path / "kept"))
    weight = model.layers[0].embeddings
    expected = [s.variable.numpy() for s in slots.find(model.optimizer, weight.values)]
    _fit(model)
    kept.read(path).assert_consumed()
    begins = _Begins()
    _fit(model, begins)
    for found, wanted in zip(begins.moments, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
