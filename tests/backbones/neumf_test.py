import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import tf_keras as keras

from dsl_tf.backbones import neumf
from dsl_tf.errors import UserError
from dsl_tf.types import LayerMacs

USERS, ITEMS = 5, 7


def _model(tables, **settings):
    sizes = {"gmf_dim": 3, "mlp_dim": 2, "mlp_layers": (4, 3)}
    model = neumf.NeuMF(USERS, ITEMS, tables, **{**sizes, **settings})
    model.compile(keras.optimizers.Adam(0.01))
    row = tf.zeros([1], tf.int32)
    model({"user": row, "item": row, "negatives": row[:, None]})
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:  # large enough to see differences
        weight.assign(rng.normal(size=weight.shape))
    return model


def _logit(model, user, item):
    """NCF eq. 12 as it is written there, in float64."""
    gmf_user = model.gmf.users(tf.constant([user])).numpy()[0].astype(np.float64)
    gmf_item = model.gmf.items(tf.constant([item])).numpy()[0].astype(np.float64)
    mlp_user = model.mlp.users(tf.constant([user])).numpy()[0]
    mlp_item = model.mlp.items(tf.constant([item])).numpy()[0]
    hidden = np.concatenate([mlp_user, mlp_item]).astype(np.float64)
    for kernel, bias in zip(model.kernels, model.biases, strict=True):
        hidden = np.maximum(hidden @ kernel.numpy() + bias.numpy(), 0)
    features = np.concatenate([gmf_user * gmf_item, hidden])
    return features @ model.head.numpy() + model.head_bias.numpy()


def _logits(model, batch):
    items = np.concatenate([batch["item"][:, None], batch["negatives"]], axis=1)
    pairs = zip(batch["user"], items, strict=True)
    return np.array([[_logit(model, u, item) for item in row] for u, row in pairs])


@pytest.mark.parametrize("sparsity", [None, 0.4])
def test_forward_pass(make_tables, batch, sparsity):
    model = _model(make_tables(sparsity))
    expected = _logits(model, batch)
    assert np.abs(expected).min() > 1e-3
    np.testing.assert_allclose(model(batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sparsity", [None, 0.4])
def test_score_is_the_interaction_and_the_logit(make_tables, sparsity):
    model = _model(make_tables(sparsity))
    users = tf.constant([3, 0, 4])
    expected = [
        [_logit(model, user, item) for item in range(ITEMS)] for user in (3, 0, 4)
    ]
    score = model.score({"user_id": users})
    np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-5)
    vectors = model.user_vectors({"user_id": users})
    assert vectors.shape == (3, 5)
    assert model.item_vectors().shape == (ITEMS, 5)
    interaction = model.interaction(vectors, model.item_vectors())
    np.testing.assert_allclose(interaction, expected, rtol=1e-4, atol=1e-5)


def test_losses(make_tables, batch):
    def loss(name, **settings):
        return float(_model(make_tables(), loss=name, **settings).compute_loss(batch))

    logits = _logits(_model(make_tables()), batch)
    positive, negative = logits[:, :1], logits[:, 1:]
    p = scipy.special.expit(np.concatenate([positive, -negative], axis=1))
    assert loss("bce") == pytest.approx(-np.log(p).mean(), rel=1e-5)
    p = scipy.special.expit(positive - negative)
    assert loss("bpr") == pytest.approx(-np.log(p).mean(), rel=1e-5)
    p = scipy.special.softmax(logits, axis=1)[:, 0]
    assert loss("sampled_softmax") == pytest.approx(-np.log(p).mean(), rel=1e-5)
    with pytest.raises(UserError, match="bce, bpr, sampled_softmax"):
        loss("hinge")


def test_regularization_is_the_squared_norm_of_the_rows_of_a_positive(
    make_tables, batch
):
    plain = _model(make_tables())
    users, items = plain.user_vectors({"user_id": batch["user"]}), plain.item_vectors()
    rows = np.concatenate([batch["item"][:, None], batch["negatives"]], axis=1)
    norms = np.square(users).sum(1) + np.square(items.numpy()[rows]).sum((1, 2))
    penalised = _model(make_tables(), regularization=0.1)
    difference = penalised.compute_loss(batch) - plain.compute_loss(batch)
    assert float(difference) == pytest.approx(0.1 * norms.mean(), rel=1e-5)


def test_reference_architecture_and_its_initial_weights(make_tables):
    """GMF(8) beside an MLP 64-32-16-8, from tables of their own (NCF's code)."""
    tables = make_tables()
    tables = type(tables)(2000, 3000)
    layers = (32, 16, 8)
    model = neumf.NeuMF(2000, 3000, tables, gmf_dim=8, mlp_dim=32, mlp_layers=layers)
    row = tf.zeros([1], tf.int32)
    model({"user": row, "item": row, "negatives": row[:, None]})
    shapes = [tuple(kernel.shape) for kernel in model.kernels]
    assert shapes == [(64, 32), (32, 16), (16, 8)]
    assert model.head.shape == (16,)
    weights = {tuple(w.shape): w.numpy() for w in model.trainable_variables}
    for shape in ((2000, 8), (3000, 8), (2000, 32), (3000, 32)):
        values = weights[shape]
        assert abs(values.mean()) < 3e-4
        assert values.std() == pytest.approx(0.01, rel=0.03)
    # LeCun uniform: limit sqrt(3 / fan_in). Glorot: sqrt(6 / (fan_in + fan_out)).
    head = np.abs(model.head.numpy()).max()
    assert 0.7 * (3 / 16) ** 0.5 < head <= (3 / 16) ** 0.5
    kernel = np.abs(model.kernels[0].numpy()).max()
    assert 0.95 * (6 / 96) ** 0.5 < kernel <= (6 / 96) ** 0.5
    for bias in (*model.biases, model.head_bias):
        np.testing.assert_array_equal(bias.numpy(), 0)


def test_initial_weights_depend_on_the_seed_and_the_table(make_tables):
    first, again, other = (
        neumf.NeuMF(5, 7, make_tables(), 4, 4, (4,), seed=seed) for seed in (0, 0, 1)
    )
    users = tf.range(USERS)
    gmf = first.gmf.users(users).numpy()
    np.testing.assert_array_equal(gmf, again.gmf.users(users))
    assert not np.any(gmf == other.gmf.users(users))
    assert not np.any(gmf == first.mlp.users(users))


def test_dropout_is_a_function_of_seed_and_step(make_tables, batch):
    def losses(seed=0, training=True):
        model = _model(make_tables(), mlp_layers=(64, 8), dropout_rate=0.5, seed=seed)
        result = []
        for step in (0, 0, 1):
            model.optimizer.iterations.assign(step)
            result.append(float(model.compute_loss(batch, training=training)))
        return result

    first, same, later = losses()
    assert first == same != later
    assert losses() == [first, same, later]
    assert losses(seed=1)[0] != first
    assert len(set(losses(training=False))) == 1


def test_macs_by_hand(make_tables):
    model = _model(make_tables())  # gmf 3, mlp 2, layers 4 and 3
    # User: 3 (head) + 2·4; item: 2·4; pair: 3 + 4·3 + 3.
    network = {"MLP 2": LayerMacs(per_pair=12), "output": LayerMacs(per_pair=3)}
    assert model.macs(np.ones(5), np.ones(5)) == {
        "GMF": LayerMacs(per_user=3.0, per_pair=3.0),
        "MLP 1": LayerMacs(per_user=8.0, per_item=8.0),
        **network,
    }
    # User columns .5 .5 0 | .5 1: 1 + 1.5·4; item 1 .5 1 | .5 0: .5·4;
    # pair: .5 + .25 + 0.
    users = np.array([0.5, 0.5, 0.0, 0.5, 1.0])
    items = np.array([1.0, 0.5, 1.0, 0.5, 0.0])
    assert model.macs(users, items) == {
        "GMF": LayerMacs(per_user=1.0, per_pair=0.75),
        "MLP 1": LayerMacs(per_user=6.0, per_item=2.0),
        **network,
    }


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("gmf_dim", 0, "at least 1"),
        ("mlp_dim", -1, "at least 1"),
        ("mlp_layers", (), "one or more numbers"),
        ("mlp_layers", (8, 0), "one or more numbers"),
        ("dropout", 1.0, r"in \[0, 1\)"),
        ("regularization", -0.1, "at least 0"),
    ],
)
def test_keys_out_of_range(small_neumf, small_split, make_tables, key, value, rule):
    small_neumf.model[key] = value
    with pytest.raises(UserError, match=f"`model.{key}` must be {rule}"):
        neumf.build(small_neumf.model, small_split, make_tables(), seed=0)
