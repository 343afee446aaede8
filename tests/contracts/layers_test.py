"""What every sparse layer has to do: answer, shapes, mistakes, and saving."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf import storage
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.errors import UserError
from dsl_tf.layers.dense import SparseDense
from dsl_tf.layers.embedding import SparseEmbedding

#: Makes the layer, its input for one batch, and its dense oracle.
CASES = {
    "embedding": (
        lambda **settings: SparseEmbedding(12, 6, name="layer", **settings),
        np.array([[3, 0, 11], [3, 3, 5]], np.int32),
        lambda weights, inputs: weights[0][inputs],
    ),
    "dense": (
        lambda **settings: SparseDense(6, name="layer", **settings),
        np.arange(24, dtype=np.float32).reshape(2, 12) / 24,
        lambda weights, inputs: inputs @ weights[0] + weights[1],
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(params=storage.names())
def settings(request):
    return {"sparsity": 0.75, "storage": request.param, "seed": 3}


def make_model(case, settings):
    make, inputs, _ = case
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(inputs.shape[1:], dtype=inputs.dtype.name),
            make(**settings),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


def fit(model, case, *callbacks, **settings):
    inputs = np.repeat(case[1], 8, axis=0)
    targets = np.linspace(-1, 1, 32, dtype=np.float32).reshape(16, 2)
    settings = {"batch_size": 4, "shuffle": False, "verbose": 0, **settings}
    model.fit(inputs, targets, callbacks=list(callbacks), **settings)


def assert_same(model, other, case):
    np.testing.assert_array_equal(model(case[1]), other(case[1]))
    weights = [each.layers[0].own_sparse_weights[0] for each in (model, other)]
    assert weights[0].positions().tolist() == weights[1].positions().tolist()
    np.testing.assert_array_equal(*(weight.active_values() for weight in weights))


def test_answer_and_shapes(case, settings):
    make, inputs, oracle = case
    layer = make(**settings)
    outputs = layer(inputs)
    (weight,) = layer.own_sparse_weights
    assert weight.shape == (12, 6)
    assert weight.nnz == weight.mask().sum() == 18
    rest = [v.numpy() for v in layer.trainable_weights if v is not weight.values]
    expected = oracle([weight.read().numpy(), *rest], inputs)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)
    assert layer.compute_output_shape(inputs.shape) == outputs.shape


@pytest.mark.parametrize("wrong", [{"sparsity": 1.0}, {"storage": "none"}])
def test_invalid_arguments(case, settings, wrong):
    with pytest.raises(UserError, match="Received"):
        case[0](**{**settings, **wrong})


def test_config_round_trip(case, settings):
    layer = case[0](**settings)
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert {**config, **settings} == config
    # The mask is a function of the config; the values are the initialiser's.
    layer(case[1])
    again(case[1])
    masks = [x.own_sparse_weights[0].mask() for x in (layer, again)]
    np.testing.assert_array_equal(*masks)
    keyed = keras.utils.serialize_keras_object(layer)
    assert keyed["registered_name"] == f"dsl_tf>{type(layer).__name__}"


def test_weights_go_through_numpy(case, settings):
    model, other = (make_model(case, {**settings, "seed": s}) for s in (3, 4))
    other.set_weights(model.get_weights())
    assert_same(model, other, case)


@pytest.mark.parametrize(
    "form", ["model.keras", pytest.param("saved_model", marks=pytest.mark.slow)]
)
def test_saving_in_the_midst_of_fit(case, settings, form, tmp_path):
    """Saved by Keras's own callback, which comes before ours in the list."""
    model = make_model(case, settings)
    path = tmp_path / form
    saved = tmp_path / f"{{epoch}}-{form}"
    save = keras.callbacks.ModelCheckpoint(str(saved), save_freq=2, verbose=0)
    fit(model, case, save, DynamicSparseTraining(0.5, 1, horizon=1, end_step=3))
    model.save(path)
    found = keras.models.load_model(path)
    assert_same(model, found, case)
    # It goes on learning, and exploring.
    before = found.layers[0].own_sparse_weights[0].mask()
    again = DynamicSparseTraining(0.2, 1, horizon=1)
    fit(found, case, again, epochs=2)
    assert sum(record.done for record in again.records) > 0
    after = found.layers[0].own_sparse_weights[0].mask()
    assert before.sum() == after.sum()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_saved_model_serves_without_the_layer(case, settings, tmp_path):
    model = make_model(case, settings)
    fit(model, case, DynamicSparseTraining(0.5, 1, horizon=1, end_step=3))
    tf.saved_model.save(model, str(tmp_path / "plain"))
    loaded = tf.saved_model.load(str(tmp_path / "plain"))
    serve = loaded.signatures["serving_default"]
    (outputs,) = serve(tf.constant(case[1])).values()
    np.testing.assert_array_equal(outputs, model(case[1]))


def test_checkpoint_round_trip_with_the_optimizer(case, settings, tmp_path):
    """Weights, mask and moments: training goes on bit for bit."""
    model, other = (make_model(case, {**settings, "seed": s}) for s in (3, 4))
    callbacks = [
        DynamicSparseTraining(0.5, 4, horizon=4, end_step=12) for _ in range(2)
    ]
    fit(model, case, callbacks[0])
    tracked = [
        tf.train.Checkpoint(model=each, optimizer=each.optimizer)
        for each in (model, other)
    ]
    other.optimizer.build(other.trainable_variables)
    path = tracked[0].write(str(tmp_path / "checkpoint"))
    tracked[1].read(path).assert_existing_objects_matched()
    for each, callback in zip((model, other), callbacks, strict=True):
        fit(each, case, callback)
    assert callbacks[0].records[1:] == callbacks[1].records
    assert_same(model, other, case)
