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


def test_layers_are_watched_during_a_train_step_only(model):
    seen = []
    layer = model.layers[0]
    plain = layer.call
    layer.call = lambda inputs: seen.append(layer.embeddings.watched) or plain(inputs)
    watching.watch(model, [layer])
    model.fit(*DATA, verbose=0)
    assert set(seen) == {True}
    model.predict(DATA[0], verbose=0)
    model(DATA[0])
    assert seen[-2:] == [False, False]


def test_a_step_that_fails_leaves_nothing_watched(model):
    layer = model.layers[0]
    watching.watch(model, [layer])
    rows = tf.constant([[1], [6]])  # there are six rows, from 0
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.train_step((rows, tf.zeros([2, 4])))
    assert not layer.embeddings.watched


def test_several_replicas_are_refused():
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = keras.Sequential([SparseEmbedding(6, 4, 0.5), keras.layers.Flatten()])
        model.compile("sgd", "mse")
    with pytest.raises(UserError, match=r"one device\. Received: MirroredStrategy, 1"):
        watching.watch(model, model.layers[:1])


def test_unwatch_gives_the_step_back(model):
    own = model.train_step
    watching.watch(model, model.layers[:1])
    watching.watch(model, model.layers[:1])  # again: not one around the other
    assert model.train_step != own
    watching.unwatch(model)
    assert model.train_step == own
    assert "train_step" not in vars(model)
    watching.unwatch(model)


def test_a_step_set_on_the_instance_comes_back(model):
    calls = []
    plain = model.train_step
    model.train_step = mine = lambda data: calls.append(1) or plain(data)
    watching.watch(model, model.layers[:1])
    model.fit(*DATA, verbose=0)
    assert calls
    watching.unwatch(model)
    assert model.train_step is mine


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
