import dataclasses

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import tf_keras as keras

from dsl_tf import config_files, streams
from dsl_tf.backbones import multvae
from dsl_tf.errors import UserError
from dsl_tf.layers import histories
from dsl_tf.layers.tables import DenseTables
from dsl_tf.types import LayerMacs

USERS, ITEMS = 5, 7
#: User 3 has no item, item 6 no user.
HISTORIES = [[0, 2, 3], [1], [0, 1, 4, 5], [], [2, 5]]


@pytest.fixture
def batch():
    return {"user": tf.constant([2, 0, 4, 1])}


def _model(split, tables, **settings):
    settings = {"hidden_dims": (4, 3), "latent_dim": 2, **settings}
    model = multvae.MultVAE(split, tables, **settings)
    model.compile(keras.optimizers.Adam(0.01))
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:  # large enough to see differences
        weight.assign(rng.normal(size=weight.shape))
    return model


def _weights(model):
    """Encoder, decoder and kernels in float64."""
    every = tf.range(ITEMS)
    mean, (log_variance, _) = model.kernels[1], model.log_variance
    statistics = tf.concat([mean, log_variance], axis=1)
    kernels = [model.kernels[0], statistics, *model.kernels[2:]]
    found = [model.encoder(every), model.decoder(every), *kernels]
    return [np.asarray(weight, np.float64) for weight in found]


def _statistics(model, inputs):
    """Mean and logarithm of the variance for input rows [B, items]."""
    encoder, _, *kernels = _weights(model)
    hidden = np.tanh(inputs @ encoder + model.encoder_bias.numpy())
    hidden = np.tanh(hidden @ kernels[0] + model.biases[0].numpy())
    statistics = hidden @ kernels[1]
    _, bias = model.log_variance
    return statistics[:, :2] + model.biases[1].numpy(), statistics[:, 2:] + bias.numpy()


def _scores(model, latent):
    _, decoder, *kernels = _weights(model)
    hidden = latent
    for kernel, bias in zip(kernels[2:], model.biases[2:], strict=True):
        hidden = np.tanh(hidden @ kernel + bias.numpy())
    return hidden @ decoder.T + model.decoder_bias.numpy()


def _rows(users):
    rows = np.zeros((len(users), ITEMS))
    for row, user in zip(rows, users, strict=True):
        row[HISTORIES[user]] = 1
    return rows


def _normalised(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _elbo(model, users, beta, noise=None, inputs=None):
    """The negative ELBO as it is written, user by user."""
    rows = _rows(users)
    mean, log_variance = _statistics(
        model, _normalised(rows) if inputs is None else inputs
    )
    drawn = mean if noise is None else mean + np.exp(log_variance / 2) * noise
    shares = scipy.special.log_softmax(_scores(model, drawn), axis=1)
    likelihood = (rows * shares).sum(1)
    variance = np.exp(log_variance)
    divergence = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(1)
    return (-likelihood + beta * divergence).mean()


@pytest.mark.parametrize("sparsity", [None, 0.4])
def test_negative_elbo(split, make_tables, batch, sparsity):
    model = _model(split, make_tables(sparsity), kl_weight=0.3, anneal_steps=0)
    expected = _elbo(model, batch["user"].numpy(), beta=0.3)
    assert float(model.compute_loss(batch)) == pytest.approx(expected, rel=1e-5)


def test_negative_elbo_of_a_drawn_latent_layer(split, make_tables, batch):
    settings = {"kl_weight": 0.3, "anneal_steps": 0, "dropout_rate": 0.0, "seed": 3}
    model = _model(split, make_tables(), **settings)
    model.optimizer.iterations.assign(8)
    key = [streams.key(3, "reparameterisation"), 8]
    noise = tf.random.stateless_normal([4, 2], key).numpy()
    expected = _elbo(model, batch["user"].numpy(), beta=0.3, noise=noise)
    found = float(model.compute_loss(batch, training=True))
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_norm_of_a_row_is_that_before_dropout(split, make_tables, batch):
    """As in the reference: normalise, then drop and scale what is left."""
    model = _model(split, make_tables(), kl_weight=0.3, anneal_steps=0, seed=3)
    model.optimizer.iterations.assign(8)
    step = tf.constant(8, tf.int64)
    history = model.histories(batch["user"])
    kept = histories.corrupted(history, 0.5, 3, "items", step).to_list()
    assert 0 < sum(map(len, kept)) < 10
    inputs = _normalised(_rows([2, 0, 4, 1]))
    for row, items in zip(inputs, kept, strict=True):
        row[np.setdiff1d(np.arange(ITEMS), items)] = 0
    key = [streams.key(3, "reparameterisation"), 8]
    noise = tf.random.stateless_normal([4, 2], key).numpy()
    expected = _elbo(model, [2, 0, 4, 1], 0.3, noise, inputs / 0.5)
    found = float(model.compute_loss(batch, training=True))
    assert found == pytest.approx(expected, rel=1e-5)


def test_dropout_and_noise_are_functions_of_seed_and_step(split, make_tables, batch):
    def losses(seed=0, training=True, **settings):
        model = _model(split, make_tables(), seed=seed, kl_weight=0.0, **settings)
        result = []
        for step in (0, 0, 1):
            model.optimizer.iterations.assign(step)
            result.append(float(model.compute_loss(batch, training=training)))
        return result

    for settings in ({}, {"dropout_rate": 0.0}):  # of both, and of the noise alone
        first, same, later = losses(**settings)
        assert first == same != later
        assert losses(**settings) == [first, same, later]
        assert losses(seed=1, **settings)[0] != first
    assert len(set(losses(training=False))) == 1


@pytest.mark.parametrize(
    ("anneal_steps", "step", "beta"),
    [(1000, 0, 0.0), (1000, 100, 0.1), (1000, 200, 0.2), (1000, 999, 0.2), (0, 0, 0.2)],
)
def test_annealing(split, make_tables, batch, anneal_steps, step, beta):
    """A step adds 1 / anneal_steps, as in the reference, not kl_weight of it."""
    settings = {"kl_weight": 0.2, "anneal_steps": anneal_steps}
    model = _model(split, make_tables(), **settings)
    assert float(model.beta(tf.constant(step, tf.int64))) == pytest.approx(beta)
    model.optimizer.iterations.assign(step)
    expected = _elbo(model, batch["user"].numpy(), beta)
    assert float(model.compute_loss(batch)) == pytest.approx(expected, rel=1e-5)


def test_scores(split, make_tables):
    model = _model(split, make_tables())
    users = [2, 3, 0, 4]
    mean, _ = _statistics(model, _normalised(_rows(users)))
    mean[1] = 0  # without training items
    query = {"user_id": tf.constant(users)}
    np.testing.assert_allclose(model.user_vectors(query), mean, rtol=1e-4)
    expected = _scores(model, mean)
    np.testing.assert_allclose(model.score(query), expected, rtol=1e-4, atol=1e-5)


def test_encode_makes_the_user_vectors(split, make_tables):
    """What an export calls with sums of its own."""
    model = _model(split, make_tables())
    encoder = model.encoder_rows(tf.range(ITEMS)).numpy()
    sums = (_rows(range(USERS)) @ encoder).astype(np.float32)
    counts = tf.constant([len(items) for items in HISTORIES], tf.float32)
    encoded = model.encode(tf.constant(sums), counts, None)
    assert encoded.shape == (USERS, 2)
    np.testing.assert_array_equal(encoded[3], [0, 0])
    vectors = model.user_vectors({"user_id": tf.range(USERS)})
    np.testing.assert_allclose(vectors, encoded, rtol=1e-4, atol=1e-6)


def test_an_unseen_user_is_a_known_one_with_the_same_history(split, make_tables):
    model = _model(split, make_tables())
    history = tf.ragged.constant([[5, 0, 4, 1], []], tf.int32)
    vectors = model.user_vectors({"history": history}).numpy()
    known = model.user_vectors({"user_id": tf.constant([2])})
    np.testing.assert_allclose(vectors[:1], known, rtol=1e-5)
    np.testing.assert_array_equal(vectors[1], [0, 0])
    assert model.user_rows(tf.range(2)) is None


def test_encode_needs_only_builtin_operations_of_tflite(split, make_tables):
    model = _model(split, make_tables())
    function = tf.function(lambda sums, counts: model.encode(sums, counts, None))
    concrete = function.get_concrete_function(
        tf.TensorSpec([None, 4], tf.float32), tf.TensorSpec([None], tf.float32)
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    assert converter.convert()


def test_reference_architecture_and_its_initial_weights(split):
    split = dataclasses.replace(split, item_ids=np.arange(3000))
    model = multvae.MultVAE(split, DenseTables(USERS, 3000))
    shapes = [tuple(weight.shape) for weight in model.trainable_variables]
    matrices = [(3000, 600), (600, 200), (600, 200), (200, 600), (3000, 600)]
    vectors = [(600,), (200,), (200,), (600,), (3000,)]
    assert sorted(shapes) == sorted([*matrices, *vectors])
    for weight in model.trainable_variables:
        values = np.abs(weight.numpy())
        if len(weight.shape) == 2:  # Xavier uniform
            # Mean and variance are halves of one matrix.
            units = sum((600, 400) if weight.shape == (600, 200) else weight.shape)
            limit = (6 / units) ** 0.5
            assert 0.99 * limit < values.max() <= limit
        else:  # normal, cut off at two deviations
            assert 0 < values.max() <= 0.002
    encoder, decoder = model.encoder(tf.range(9)), model.decoder(tf.range(9))
    assert not np.any(encoder.numpy() == decoder.numpy())


def test_regularization_is_the_squared_norm_of_all_matrices(split, make_tables, batch):
    plain = _model(split, make_tables())
    squares = sum((weight**2).sum() for weight in _weights(plain))
    penalised = _model(split, make_tables(), regularization=0.1)
    difference = penalised.compute_loss(batch) - plain.compute_loss(batch)
    assert float(difference) == pytest.approx(0.1 * squares, rel=1e-4)


def test_zeros_of_the_tables_stay_zero(split, make_tables, batch):
    tables = make_tables(sparsity=0.5)
    model = multvae.MultVAE(split, tables, (4,), 2, regularization=0.1)
    model.compile(keras.optimizers.Adam(0.1))
    before = [w.read().numpy() for w in model.sparse_weights()]
    step = model.make_train_function()
    data = iter(tf.data.Dataset.from_tensors(batch).repeat())
    for _ in range(5):
        step(data)
    for weight, old in zip(model.sparse_weights(), before, strict=True):
        new = weight.read().numpy()
        assert not new[~weight.mask()].any()
        moved = (new != old)[weight.mask()]
        assert moved.mean() > 0.9  # L2 moves item 6 too
    assert len(before) == 2


def test_macs_by_hand(split, make_tables):
    model = _model(split, make_tables())
    # 10 items of 4 users, 4 columns; 4 scalings; 4·3 and 3·2 of the mean;
    # 2·3 and 3·4 of the decoder.
    layers = {
        "encoder": LayerMacs(per_user=10 * 4 / 4 + 4),
        "layers between": LayerMacs(per_user=12 + 6 + 6 + 12),
        "decoder": LayerMacs(per_pair=5.0),
    }
    assert model.macs(np.ones(2), np.ones(5)) == layers
    items = np.array([0.5, 0.5, 0.0, 0.5, 1.0])
    sparse = layers | {"decoder": LayerMacs(per_pair=2.5)}
    assert model.macs(np.ones(2), items) == sparse


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("hidden_dims", (), "one or more numbers from 1"),
        ("hidden_dims", (8, 0), "one or more numbers from 1"),
        ("latent_dim", 0, "at least 1"),
        ("dropout", 1.0, r"in \[0, 1\)"),
        ("kl_weight", -0.1, "at least 0"),
        ("anneal_steps", -1, "at least 0"),
        ("regularization", -0.1, "at least 0"),
    ],
)
def test_keys_out_of_range(split, make_tables, key, value, rule):
    config = config_files.load(config_files.find("multvae.py")).model
    config[key] = value
    with pytest.raises(UserError, match=f"`model.{key}` must be {rule}"):
        multvae.build(config, split, make_tables(), seed=0)
