import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.layers import watching
from dsl_tf.layers.embedding import SparseEmbedding


@pytest.fixture
def model():
    model = keras.Sequential([SparseEmbedding(6, 4, 0.5), keras.layers.Flatten()])
    model.compile("sgd", "mse")
    return model


DATA = np.zeros((2, 1), np.int32), np.zeros((2, 4), np.float32)


class Arming(keras.callbacks.Callback):
    def set_model(self, model):
        super().set_model(model)
        watching.prepare(model)

    def on_train_batch_begin(self, batch, logs=None):
        watching.arm(self.model, self.model.layers[:1])


def _taught(model, steps=1):
    model.fit(*DATA, verbose=0, epochs=steps, callbacks=[Arming()])


def _seeing(model):
    """Whether the layer was watched, each time that it is called in Python."""
    seen = []
    layer = model.layers[0]
    plain = layer.call
    layer.call = lambda inputs: seen.append(layer.embeddings.watched) or plain(inputs)
    return seen


def test_layers_are_watched_during_a_train_step_only(model):
    seen = _seeing(model)
    _taught(model)
    assert set(seen) == {True}
    model.predict(DATA[0], verbose=0)
    model(DATA[0])
    assert seen[-2:] == [False, False]


def test_a_fit_that_is_not_armed_watches_nothing(model):
    """One after a `fit` that was broken off, without the callback."""
    seen = _seeing(model)
    _taught(model)
    model.fit(*DATA, verbose=0)
    assert seen[-1] is False
    count = len(seen)
    _taught(model)
    assert seen[-1] is True
    _taught(model, steps=3)
    assert seen[count:] == [True] * len(seen[count:])
    assert len(seen) <= count + 2  # three steps of one `fit` are traced once


def test_the_models_own_step_stays_its_own(model):
    calls = []
    plain = model.train_step
    model.train_step = mine = lambda data: calls.append(1) or plain(data)
    _taught(model)
    assert calls
    assert model.train_step is mine


def test_a_step_that_fails_leaves_nothing_watched(model):
    layer = model.layers[0]
    rows = np.array([[1], [6]])  # there are six rows, from 0
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.fit(rows, DATA[1], verbose=0, callbacks=[Arming()])
    assert not layer.embeddings.watched


def test_several_replicas_are_refused():
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = keras.Sequential([SparseEmbedding(6, 4, 0.5), keras.layers.Flatten()])
        model.compile("sgd", "mse")
    with pytest.raises(UserError, match=r"one device\. Received: MirroredStrategy, 1"):
        watching.prepare(model)


def test_steps_per_execution(model):
    assert watching.steps_per_execution(model) == 1
    model.compile("sgd", "mse", steps_per_execution=3)
    assert watching.steps_per_execution(model) == 3
    model.compile("sgd", "mse", steps_per_execution="auto")
    with pytest.raises(UserError, match="Received: steps_per_execution='auto'"):
        watching.steps_per_execution(model)


def test_xla_is_refused(model):
    model.compile("sgd", "mse", jit_compile=True)
    with pytest.raises(UserError, match="Received: jit_compile=True"):
        watching.steps_per_execution(model)


def test_check_divides():
    watching.check_divides(4, {"update_interval": 8, "horizon": 4})
    with pytest.raises(UserError, match=r"divide `horizon`.*execution=4, horizon=6"):
        watching.check_divides(4, {"update_interval": 8, "horizon": 6})


def test_optimisers_are_found_wherever_a_model_keeps_them(model):
    first, second, third, fourth = (keras.optimizers.SGD() for _ in range(4))
    model.of_network = first
    model.several = [second, {"table": third}]
    inner = keras.Sequential([keras.layers.Activation("relu")])
    inner.own = fourth
    model.add(inner)
    found = watching.optimizers_of(model)
    assert found[0] is model.optimizer
    others = {id(each) for each in found[1:]}
    assert others == {id(each) for each in (first, second, third, fourth)}
