import functools

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import tf_keras as keras

from dsl_tf import config_files
from dsl_tf.backbones import convncf
from dsl_tf.errors import UserError
from dsl_tf.types import LayerMacs

USERS, ITEMS, WIDTH, CHANNELS = 5, 7, 8, 3


@pytest.fixture
def config():
    config = config_files.load(config_files.find("convncf.py"), "own")
    config.model.update(embedding_dim=WIDTH, channels=CHANNELS)
    return config


def _model(tables, **settings):
    sizes = {"embedding_dim": WIDTH, "channels": CHANNELS}
    model = convncf.ConvNCF(USERS, ITEMS, tables, **{**sizes, **settings})
    model.compile(keras.optimizers.Adam(0.01))
    row = tf.zeros([1], tf.int32)
    model({"user": row, "item": row, "negatives": row[:, None]})
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:  # large enough to see differences
        weight.assign(rng.normal(size=weight.shape))
    return model


def _logit(model, user, item):
    """The paper's sec. 3.2 as it is written there: every place of every map."""
    p = model.tables.users(tf.constant([user])).numpy()[0].astype(np.float64)
    q = model.tables.items(tf.constant([item])).numpy()[0].astype(np.float64)
    maps = [[[p[i] * q[j]] for j in range(WIDTH)] for i in range(WIDTH)]
    for kernel, bias in zip(model.kernels, model.biases, strict=True):
        kernel, bias, half = kernel.numpy(), bias.numpy(), len(maps) // 2
        new = [[None] * half for _ in range(half)]
        for i in range(half):
            for j in range(half):
                total = bias.astype(np.float64)
                for a in (0, 1):
                    for b in (0, 1):
                        total = total + maps[2 * i + a][2 * j + b] @ kernel[a, b]
                new[i][j] = np.maximum(total, 0)
        maps = new
    return maps[0][0] @ model.head.numpy() + model.head_bias.numpy()


def _logits(model, batch):
    items = np.concatenate([batch["item"][:, None], batch["negatives"]], axis=1)
    pairs = zip(batch["user"], items, strict=True)
    return np.array([[_logit(model, u, item) for item in row] for u, row in pairs])


@pytest.mark.parametrize("sparsity", [None, 0.4])
def test_forward_pass(make_tables, batch, sparsity):
    model = _model(make_tables(sparsity))
    expected = _logits(model, batch)
    assert np.ptp(expected, axis=1).min() > 0.1
    np.testing.assert_allclose(model(batch), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("sparsity", "at_once"), [(None, 1), (0.4, 4), (None, 21), (0.4, 1000)]
)
def test_score_is_the_interaction_and_the_logit(make_tables, sparsity, at_once):
    """However many pairs go at once, and where the last block is not full."""
    model = _model(make_tables(sparsity))
    model._pairs_at_once = at_once
    users = tf.constant([3, 0, 4])
    expected = [
        [_logit(model, user, item) for item in range(ITEMS)] for user in (3, 0, 4)
    ]
    score = model.score({"user_id": users})
    np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-4)
    vectors = model.user_vectors({"user_id": users}), model.item_vectors()
    assert [each.shape for each in vectors] == [(3, WIDTH), (ITEMS, WIDTH)]
    interaction = model.interaction(*vectors)
    np.testing.assert_allclose(interaction, expected, rtol=1e-4, atol=1e-4)
    assert model.interaction(vectors[0][:0], vectors[1]).shape == (0, ITEMS)


def test_pairs_at_once_fit_the_room(make_tables):
    """The paper's sizes: 32 · 32 · 32 activations a pair."""
    assert convncf.ConvNCF(5, 7, make_tables(), 64, 32)._pairs_at_once == 64
    assert convncf.ConvNCF(5, 7, make_tables(), 4096, 1)._pairs_at_once == 1


def test_losses(make_tables, batch):
    def loss(name, **settings):
        return float(_model(make_tables(), loss=name, **settings).compute_loss(batch))

    logits = _logits(_model(make_tables()), batch)
    positive, negative = logits[:, :1], logits[:, 1:]
    p = scipy.special.expit(positive - negative)
    assert loss("bpr") == pytest.approx(-np.log(p).mean(), rel=1e-4)
    p = scipy.special.expit(np.concatenate([positive, -negative], axis=1))
    assert loss("bce") == pytest.approx(-np.log(p).mean(), rel=1e-4)
    p = scipy.special.softmax(logits, axis=1)[:, 0]
    assert loss("sampled_softmax") == pytest.approx(-np.log(p).mean(), rel=1e-4)
    with pytest.raises(UserError, match="bce, bpr, sampled_softmax"):
        loss("hinge")


def test_negatives_shared_by_a_batch_are_those_of_each_of_its_users(make_tables, batch):
    shared = batch["negatives"][:1]
    each = {**batch, "negatives": np.broadcast_to(shared, (4, 3))}
    model = _model(make_tables())
    loss = model.compute_loss({**batch, "negatives": shared})
    assert float(loss) == pytest.approx(float(model.compute_loss(each)), rel=1e-6)


@pytest.mark.parametrize("sparsity", [None, 0.4])
def test_gradients_are_those_of_all_pairs_at_once(make_tables, batch, sparsity):
    model = _model(make_tables(sparsity), regularization=(0.1, 0.2, 0.3))

    def plain():
        users, items = model._rows(batch)
        squares = [tf.reduce_sum(tf.square(each)) for each in (users, items)]
        network = [*model.kernels, *model.biases], [model.head, model.head_bias]
        norms = [sum(tf.reduce_sum(w**2) for w in part) for part in network]
        return (
            tf.reduce_mean(tf.nn.softplus(model(batch)[:, 1:] - model(batch)[:, :1]))
            + 0.05 * sum(squares) / 4
            + 0.1 * norms[0]
            + 0.15 * norms[1]
        )

    def gradients(loss):
        with tf.GradientTape() as tape:
            value = loss()
        found = tape.gradient(value, model.trainable_variables)
        return [float(value), *(tf.convert_to_tensor(each).numpy() for each in found)]

    expected = gradients(plain)
    assert all(np.abs(each).max() > 1e-4 for each in expected)
    # Blocks of one user; of three and then of one; of all.
    for at_once, graph in ((1, False), (12, True), (1000, False)):
        model._pairs_at_once = at_once
        loss = functools.partial(model.compute_loss, batch)
        found = gradients(tf.function(loss) if graph else loss)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_reference_architecture_and_its_initial_weights(make_tables):
    """Six layers of 32 channels on a map of 64 x 64 (the authors' code)."""
    tables = make_tables()
    tables = type(tables)(2000, 3000)
    model = convncf.ConvNCF(2000, 3000, tables, 64, 32)
    row = tf.zeros([1], tf.int32)
    model({"user": row, "item": row, "negatives": row[:, None]})
    shapes = [tuple(kernel.shape) for kernel in model.kernels]
    assert shapes == [(2, 2, 1, 32)] + 5 * [(2, 2, 32, 32)]
    assert (model.head.shape, model.head_bias.shape) == ((32,), ())
    # A normal cut at two deviations has .88 of its deviation left.
    for table in (model.tables.users(tf.range(2000)), model.item_vectors()):
        assert np.abs(table).max() <= 0.02
        assert np.std(table) == pytest.approx(0.0088, rel=0.02)
    for kernel in model.kernels[1:]:
        assert np.abs(kernel).max() <= 0.2
        assert np.std(kernel) == pytest.approx(0.088, rel=0.05)
    assert np.unique([kernel[0, 0, 0, 0] for kernel in model.kernels]).size == 6
    for bias in model.biases:
        np.testing.assert_array_equal(bias, np.float32(0.1))


def test_initial_weights_depend_on_the_seed(make_tables):
    first, again, other = (
        convncf.ConvNCF(5, 7, make_tables(), 8, 4, seed=seed) for seed in (0, 0, 1)
    )
    mine, same, others = (
        [m.item_vectors().numpy(), m.kernels[1].numpy(), m.head.numpy()]
        for m in (first, again, other)
    )
    for i in range(3):
        np.testing.assert_array_equal(mine[i], same[i])
        assert not np.any(mine[i] == others[i])


def test_macs_by_hand(make_tables):
    model = _model(make_tables(), embedding_dim=4, channels=3)
    # 4 items · 2 · 3, 4 users · 2 places · 3; one place of the second layer,
    # 4 · 3 · 3; output 3.
    network = {
        "convolution 2": LayerMacs(per_pair=36),
        "output": LayerMacs(per_pair=3),
    }
    full = model.macs(np.ones(4), np.ones(4))
    assert full == {"convolution 1": LayerMacs(per_pair=24.0 + 24.0)} | network
    # Items 1.5 · 2 · 3; places 1 - .5 · 1 and 1 - 0: 1.5, users .75 · 1.5 · 3.
    part = model.macs(np.array([0.5, 0, 0, 0.25]), np.array([0.5, 0, 0, 1.0]))
    assert part == {"convolution 1": LayerMacs(per_pair=9.0 + 3.375)} | network
    # The paper's sizes: 64 · 2 · 32 + 64 · 32 · 32 + (1 + 4 + … + 256) · 4 · 32² + 32.
    model = convncf.ConvNCF(5, 7, make_tables(), 64, 32)
    pair = 4096 + 65536 + 341 * 4096 + 32
    layers = model.macs(np.ones(64), np.ones(64)).values()
    assert sum(each.per_pair for each in layers) == pair


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("embedding_dim", 48, "a power of two from 2"),
        ("embedding_dim", 1, "a power of two from 2"),
        ("embedding_dim", -8, "a power of two from 2"),
        ("channels", 0, "at least 1"),
        ("initial_stddev", 0.0, "above 0"),
        ("embedding_regularization", -0.1, "at least 0"),
        ("conv_regularization", -0.1, "at least 0"),
        ("output_regularization", -0.1, "at least 0"),
    ],
)
def test_keys_out_of_range(config, small_split, make_tables, key, value, rule):
    config.model[key] = value
    with pytest.raises(UserError, match=f"`model.{key}` must be {rule}"):
        convncf.build(config.model, small_split, make_tables(), seed=0)


def test_pretraining_is_a_run_of_mf_bpr(config):
    config.model.update(
        pretraining_epochs=7,
        pretraining_learning_rate=0.25,
        pretraining_regularization=0.5,
    )
    first = convncf.pretraining(config)
    assert (first.model.name, first.model.loss) == ("mf", "bpr")
    assert first.model.embedding_dim == WIDTH
    assert first.model.regularization == 0.5
    assert (first.train.epochs, first.train.learning_rate) == (7, 0.25)
    assert first.sparsity == config.sparsity
    assert config.model.name == "convncf"
    assert config.train.learning_rate != 0.25
    config.model.pretraining_epochs = 0
    assert convncf.pretraining(config) is None


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("pretraining_epochs", -1, "at least 0"),
        ("pretraining_learning_rate", 0.0, "above 0"),
        ("pretraining_regularization", -1.0, "at least 0"),
    ],
)
def test_keys_of_pretraining_out_of_range(config, key, value, rule):
    config.model[key] = value
    with pytest.raises(UserError, match=f"`model.{key}` must be {rule}"):
        convncf.pretraining(config)
