import dataclasses

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import tf_keras as keras

from dsl_tf import config_files
from dsl_tf.backbones import cdae
from dsl_tf.errors import UserError
from dsl_tf.layers.tables import DenseTables
from dsl_tf.types import LayerMacs

USERS, ITEMS = 5, 7
#: User 3 has no item, item 6 no user.
HISTORIES = [[0, 2, 3], [1], [0, 1, 4, 5], [], [2, 5]]


@pytest.fixture
def batch():
    """Two users with five items, two negatives each; one is drawn twice."""
    negatives = [[2, 3], [6, 6], [3, 2], [2, 6], [0, 4]]
    return {"user": tf.constant([2, 1]), "negatives": tf.constant(negatives)}


def _model(split, tables, **settings):
    model = cdae.CDAE(split, tables, **{"hidden_dim": 3, **settings})
    model.compile(keras.optimizers.Adam(0.01))
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:  # large enough to see differences
        weight.assign(rng.normal(size=weight.shape))
    return model


def _weights(model):
    """W, V, b, W', b' in float64."""
    found = (
        model.encoder(tf.range(ITEMS)),
        model.users(tf.range(USERS)),
        model.encoder_bias,
        model.decoder(tf.range(ITEMS)),
        model.decoder_bias,
    )
    return [np.asarray(weight, np.float64) for weight in found]


def _score(model, user, item, inputs=None, scale=1.0):
    """The score of a pair as the paper writes it."""
    w, v, b, w_out, b_out = _weights(model)
    inputs = HISTORIES[user] if inputs is None else inputs
    z = scipy.special.expit(scale * w[inputs].sum(0) + v[user] + b)
    return w_out[item] @ z + b_out[item]


def _expected(model, batch, loss):
    """Sum over positives and negatives, pair by pair; mean over the two users."""
    rows, total = iter(batch["negatives"].numpy()), 0.0
    for user in batch["user"].numpy():
        for item in HISTORIES[user]:
            total += loss(_score(model, user, item), 1)
            total += sum(loss(_score(model, user, each), 0) for each in next(rows))
    return total / 2


def _logistic(score, label):
    p = scipy.special.expit(score)
    return -np.log(p if label else 1 - p)


def _square(score, label):
    return 0.5 * (label - score) ** 2


@pytest.mark.parametrize("sparsity", [None, 0.4])
@pytest.mark.parametrize(
    ("name", "loss"), [("logistic", _logistic), ("square", _square)]
)
def test_losses_by_hand(split, make_tables, batch, sparsity, name, loss):
    model = _model(split, make_tables(sparsity), loss=name)
    found = float(model.compute_loss(batch))
    assert found == pytest.approx(_expected(model, batch, loss), rel=1e-5)
    uncorrupted = _model(split, make_tables(sparsity), loss=name, corruption=0.0)
    assert float(uncorrupted.compute_loss(batch, training=True)) == pytest.approx(found)


def test_an_unknown_loss_names_those_that_exist(split, make_tables):
    with pytest.raises(UserError, match=r"`model\.loss` must be one of logistic, squ"):
        _model(split, make_tables(), loss="hinge")


def test_corruption_scales_the_items_that_are_left(split, make_tables):
    """Of user 1's only item: nothing or W_1 / (1 - q); V_u and b are untouched."""
    model = _model(split, make_tables(), corruption=0.75)
    batch = {"user": tf.constant([1]), "negatives": tf.constant([[6]])}

    def loss(inputs):
        scores = [_score(model, 1, item, inputs, scale=4.0) for item in (1, 6)]
        return _logistic(scores[0], 1) + _logistic(scores[1], 0)

    left, gone = loss([1]), loss([])
    assert abs(left - gone) > 0.01
    in_training = tf.function(lambda: model.compute_loss(batch, training=True))
    found = []
    for step in range(200):
        model.optimizer.iterations.assign(step)
        found.append(float(in_training()))
    is_left = np.isclose(found, left, rtol=1e-4)
    assert np.all(is_left | np.isclose(found, gone, rtol=1e-4))
    assert is_left.mean() == pytest.approx(0.25, abs=0.1)


def test_corruption_is_a_function_of_seed_and_step(split, make_tables):
    users = tf.constant([2, 0, 4, 1])
    batch = {"user": users, "negatives": tf.zeros([10, 1], tf.int32)}

    def losses(seed=0):
        model = _model(split, make_tables(), seed=seed)
        result = []
        for step in (0, 0, 1, 2, 3):
            model.optimizer.iterations.assign(step)
            result.append(float(model.compute_loss(batch, training=True)))
        return result

    first = losses()
    assert first[0] == first[1]
    assert len(set(first)) > 2
    assert losses() == first != losses(seed=1)


def test_regularization(split, make_tables, batch):
    """Half the squared norms; of V the mean over the batch's rows."""
    plain = _model(split, make_tables())
    w, v, b, w_out, b_out = _weights(plain)
    squares = sum((each**2).sum() for each in (w, w_out, b, b_out))
    squares += (v[[2, 1]] ** 2).sum() / 2
    penalised = _model(split, make_tables(), regularization=0.1)
    difference = penalised.compute_loss(batch) - plain.compute_loss(batch)
    assert float(difference) == pytest.approx(0.05 * squares, rel=1e-4)


def test_scores(split, make_tables):
    model = _model(split, make_tables())
    expected = [[_score(model, u, item) for item in range(ITEMS)] for u in (4, 0)]
    score = model.score({"user_id": tf.constant([4, 0])})
    np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-5)


def test_encode_makes_the_user_vectors(split, make_tables):
    """What an export calls with sums of its own."""
    model = _model(split, make_tables())
    encoder = model.encoder_rows(tf.range(ITEMS)).numpy()
    sums = np.array([encoder[items].sum(0) for items in HISTORIES], np.float32)
    counts = tf.constant([len(items) for items in HISTORIES], tf.float32)
    encoded = model.encode(tf.constant(sums), counts, model.user_rows(tf.range(USERS)))
    np.testing.assert_array_equal(encoded[3], [0, 0, 0])
    assert np.asarray(encoded)[[0, 1, 2, 4]].min() > 0
    vectors = model.user_vectors({"user_id": tf.range(USERS)})
    np.testing.assert_allclose(vectors, encoded, rtol=1e-5)


def test_an_unseen_user_has_the_user_vector_0(split, make_tables):
    model = _model(split, make_tables())
    history = tf.ragged.constant([[5, 2], [], [6]], tf.int32)
    w, _, b, *_ = _weights(model)
    found = model.user_vectors({"history": history})
    expected = scipy.special.expit([w[[2, 5]].sum(0) + b, b, w[6] + b])
    expected[1] = 0
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    known = model.user_vectors({"user_id": tf.constant([4])})
    assert np.abs(known - found[:1]).max() > 0.01  # who has a row, and [2, 5]


@pytest.mark.parametrize("own_rows", [True, False])
def test_encode_needs_only_builtin_operations_of_tflite(split, make_tables, own_rows):
    model = _model(split, make_tables())
    rows = tf.TensorSpec([None, 3], tf.float32)
    specs = [rows, tf.TensorSpec([None], tf.float32), *([rows] * own_rows)]

    def encode(sums, counts, user_rows=None):
        return model.encode(sums, counts, user_rows)

    function = tf.function(encode).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    assert converter.convert()


def _batches(split, batch_size=4, negatives=3, seed=0):
    return cdae.UsersWithNegatives(split, batch_size, negatives, seed)


def _first(batches, count=3):
    data = batches.dataset(tf.Variable(0, dtype=tf.int64))
    return [
        {name: value.numpy().tolist() for name, value in batch.items()}
        for batch in data.take(count)
    ]


def test_negatives_are_of_each_item_and_unseen(split):
    for batch in _first(_batches(split, batch_size=2), count=20):
        owners = [user for user in batch["user"] for _ in HISTORIES[user]]
        assert len(owners) == len(batch["negatives"])
        for user, drawn in zip(owners, batch["negatives"], strict=True):
            assert len(drawn) == 3
            assert not set(drawn) & set(HISTORIES[user])
    assert _first(_batches(split)) == _first(_batches(split))
    assert _first(_batches(split)) != _first(_batches(split, seed=1))


def test_batches_take_the_negatives_of_the_config(split, make_tables):
    config = config_files.load(config_files.find("cdae.py")).train
    config.negatives, config.batch_size = 2, 4
    batches = _model(split, make_tables()).batches(split, config, seed=0)
    assert np.shape(_first(batches, 1)[0]["negatives"]) == (10, 2)
    assert batches.size.users == 4
    config.negatives = 8
    with pytest.raises(UserError, match=r"`train\.negatives` must be from 1 to the"):
        _model(split, make_tables()).batches(split, config, seed=0)


def test_reference_initial_weights(split):
    split = dataclasses.replace(
        split, user_ids=np.arange(2000), item_ids=np.arange(3000)
    )
    model = cdae.CDAE(split, DenseTables(2000, 3000))
    limit = 4 * (6 / 3050) ** 0.5
    tables = [
        table(tf.range(2000)).numpy()
        for table in (model.encoder, model.users, model.decoder)
    ]
    for values in tables:
        assert values.shape == (2000, 50)
        assert 0.99 * limit < values.max() <= limit
        assert -limit <= values.min() < -0.99 * limit
    assert not np.any(tables[0] == tables[1])
    assert not np.any(tables[0] == tables[2])
    for bias, width in ((model.encoder_bias, 50), (model.decoder_bias, 3000)):
        np.testing.assert_array_equal(bias, np.zeros(width))


def test_zeros_of_the_tables_stay_zero(split, make_tables):
    model = cdae.CDAE(split, make_tables(sparsity=0.5), 4, regularization=0.1)
    model.compile(keras.optimizers.Adam(0.1))
    step = model.make_train_function()
    data = iter(_batches(split).dataset(tf.Variable(0, dtype=tf.int64)))
    before = [weight.read().numpy() for weight in model.sparse_weights()]
    for _ in range(5):
        step(data)
    shapes = []
    for weight, old in zip(model.sparse_weights(), before, strict=True):
        new = weight.read().numpy()
        assert not new[~weight.mask()].any()
        assert np.any(new != old)
        shapes.append(weight.shape)
    assert shapes == [(ITEMS, 4), (ITEMS, 4), (USERS, 4)]


def test_macs_by_hand(split, make_tables):
    model = _model(split, make_tables())
    # 10 items of 4 users, 3 columns, and 3 of the user's own row.
    layers = {
        "encoder": LayerMacs(per_user=10 * 3 / 4),
        "user's row": LayerMacs(per_user=3.0),
        "decoder": LayerMacs(per_pair=4.0),
    }
    assert model.macs(np.ones(3), np.ones(4)) == layers
    items = np.array([0.5, 0.0, 1.0, 1.0])
    found = model.macs(np.ones(3), items)
    assert found == layers | {"decoder": LayerMacs(per_pair=2.5)}
    sparse = _model(split, make_tables(sparsity=0.5)).macs(np.ones(3), items)
    assert sparse["encoder"].per_user < layers["encoder"].per_user
    assert sparse["user's row"].per_user < 3.0


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("hidden_dim", 0, "at least 1"),
        ("corruption", 1.0, r"in \[0, 1\)"),
        ("regularization", -0.1, "at least 0"),
    ],
)
def test_keys_out_of_range(split, make_tables, key, value, rule):
    config = config_files.load(config_files.find("cdae.py")).model
    config[key] = value
    with pytest.raises(UserError, match=f"`model.{key}` must be {rule}"):
        cdae.build(config, split, make_tables(), seed=0)
