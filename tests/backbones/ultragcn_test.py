import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf import config_files
from dsl_tf.backbones import ultragcn
from dsl_tf.errors import UserError
from dsl_tf.types import (
    Interactions,
    LayerMacs,
    Split,
    StepSize,
    empty_interactions,
)

#: Item 0 is everybody's but user 4's; user 4 and item 6 have no training pairs.
PAIRS = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 3), (2, 0), (2, 1), (2, 4), (3, 0), (3, 5)]
USERS, ITEMS = 5, 7
WEIGHTS = (0.3, 2.0, 0.1, 1.5)
SETTINGS = {"negative_weight": 3.0, "item_weight": 0.7, "regularization": 0.2}


@pytest.fixture
def split():
    users, items = np.array(PAIRS, np.int32).T
    nothing = empty_interactions()
    return Split(
        "tiny", np.arange(USERS), np.arange(ITEMS), Interactions(users, items),
        nothing, nothing,
    )  # fmt: skip


@pytest.fixture
def batch(batch):
    """Users 0, 4, 2, 2 and items 6, 0, 3, 1, with negatives that may be positives."""
    return {name: tf.constant(values) for name, values in batch.items()}


@pytest.fixture(params=["per_pair", "shared", "groups", "uneven groups"])
def inputs(request, batch):
    negatives = {
        "shared": [[2, 6, 0, 0, 5]],
        "groups": [[2, 6, 0], [5, 5, 1]],  # two positives each
        "uneven groups": [[2, 6], [5, 1], [4, 4]],  # two positives, two, none
    }.get(request.param, batch["negatives"])
    return {**batch, "negatives": tf.constant(negatives)}


def _negatives(inputs):
    """The negatives of each positive, [4, n]."""
    groups = inputs["negatives"].numpy()
    return np.repeat(groups, -(-4 // len(groups)), axis=0)[:4]


def _model(split, tables, **settings):
    settings = {"weights": WEIGHTS, "num_neighbours": 3, **SETTINGS, **settings}
    model = ultragcn.UltraGCN(split, tables, embedding_dim=4, **settings)
    row = tf.zeros([1], tf.int32)
    model({"user": row, "item": row, "negatives": row[:, None]})
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:  # large enough to see differences
        weight.assign(rng.normal(size=weight.shape))
    return model


def _expected(model, batch, weights=WEIGHTS, item_weight=0.7, regularization=0.2):
    """The loss as the class has it, pair by pair in float64."""
    r = np.zeros((USERS, ITEMS))
    r[tuple(np.array(PAIRS).T)] = 1
    d_u, d_i, shared = r.sum(1), r.sum(0), r.T @ r
    g = shared.sum(1)
    p = model.user_vectors({"user_id": tf.range(USERS)}).numpy().astype(np.float64)
    q = model.item_vectors().numpy().astype(np.float64)

    def beta(u, i):
        return np.sqrt(d_u[u] + 1) / d_u[u] / np.sqrt(d_i[i] + 1) if d_u[u] else 0.0

    def nll(u, i, sign):
        return np.log1p(np.exp(-sign * (p[u] @ q[i])))

    def omega(i, j):
        return shared[i, j] * np.sqrt(g[i] + 1) / g[i] / np.sqrt(g[j] + 1)

    w1, w2, w3, w4 = weights
    total = 0.0
    users, items = batch["user"].numpy(), batch["item"].numpy()
    for u, i, drawn in zip(users, items, _negatives(batch), strict=True):
        total += (w1 + w2 * beta(u, i)) * nll(u, i, 1)
        total += 3.0 * np.mean([(w3 + w4 * beta(u, j)) * nll(u, j, -1) for j in drawn])
        best = sorted(np.flatnonzero(shared[i]), key=lambda j: (-omega(i, j), j))[:3]
        total += item_weight * sum(omega(i, j) * nll(u, j, 1) for j in best)
    return total + regularization / 2 * (np.square(p).sum() + np.square(q).sum())


@pytest.mark.parametrize("sparsity", [None, 0.4])
def test_loss(split, make_tables, inputs, sparsity):
    model = _model(split, make_tables(sparsity))
    expected = _expected(model, inputs)
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "changed",
    [
        {"weights": (0.0, 1.0, 0.0, 1.0)},
        {"weights": (1.0, 0.0, 1.0, 0.0)},
        {"item_weight": 0.0},
        {"regularization": 0.0},
    ],
)
def test_each_part_of_the_loss(split, make_tables, batch, changed):
    model = _model(split, make_tables(), **changed)
    expected = _expected(model, batch, **changed)
    assert float(model.compute_loss(batch)) == pytest.approx(expected, rel=1e-5)


def test_logits(split, make_tables, inputs):
    model = _model(split, make_tables(0.4))
    scores = model.score({"user_id": inputs["user"]}).numpy()
    items = np.concatenate([inputs["item"][:, None], _negatives(inputs)], axis=1)
    expected = np.take_along_axis(scores, items, axis=1)
    np.testing.assert_allclose(model(inputs), expected, rtol=1e-5, atol=1e-6)


def test_who_is_not_in_the_graph_has_a_finite_loss_and_gradient(
    split, make_tables, batch
):
    """User 4 has d_u = 0, item 6 is nobody's and has no neighbours."""
    row = {"user": tf.constant([4]), "item": tf.constant([6])}
    model = _model(split, make_tables())
    for inputs in ({**row, "negatives": tf.constant([[6, 0]])}, batch):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(inputs)
        gradients = tape.gradient(loss, model.trainable_variables)
        assert np.isfinite(loss)
        for gradient in gradients:
            assert np.isfinite(tf.convert_to_tensor(gradient)).all()


def test_the_norm_is_that_of_what_is_stored(split, make_tables, batch):
    """A pruned weight has none, and a row outside of the batch has one."""
    model = _model(split, make_tables(0.4))
    plain = _model(split, make_tables(0.4), regularization=0.0)
    stored = np.concatenate([w.numpy().ravel() for w in model.trainable_variables])
    assert len(stored) == model.sparse_weights()[0].nnz < (USERS + ITEMS) * 4
    difference = model.compute_loss(batch) - plain.compute_loss(batch)
    assert float(difference) == pytest.approx(0.1 * np.square(stored).sum(), rel=1e-4)


def test_terms_of_a_method_are_means_and_count_for_each_positive(
    split, make_tables, batch
):
    """Its own loss is a sum over the batch of four."""
    model = _model(split, make_tables())
    model.compile(keras.optimizers.SGD(0.0))
    alone = model.train_step(batch)["loss"]
    model.loss_terms = (
        lambda inputs: tf.reduce_mean(tf.ones(tf.shape(inputs["user"]))),
    )
    difference = model.train_step(batch)["loss"] - alone
    assert float(difference) == pytest.approx(4.0, rel=1e-4)


def test_initial_weights(split, make_tables):
    tables = type(make_tables())(2000, 3000)
    for stddev in (1e-4, 0.1):
        model = ultragcn.UltraGCN(
            split, tables, 64, WEIGHTS, **SETTINGS, initial_stddev=stddev
        )
        users, items = (
            look_up(tf.range(2000)).numpy()
            for look_up in model.tables.look_ups().values()
        )
        for rows in (users, items):
            assert abs(rows.mean()) < 0.01 * stddev
            assert rows.std() == pytest.approx(stddev, rel=0.02)
        assert not np.any(users == items)


def test_nodes_out_of_the_graph_are_told(split, make_tables):
    (finding,) = _model(split, make_tables()).findings
    assert finding.startswith("1 users and 1 items without training interactions")


@pytest.fixture
def small_batches(small_split, make_tables):
    """The batches of 100 positives that a model makes of `small_split`."""

    def make(sampling, shared_by, item_weight=1.0):
        config = config_files.load(config_files.find("ultragcn.py"), "own")
        config.model.item_weight = item_weight
        config.train.update(
            batch_size=100, negatives=20, sampling=sampling, shared_by=shared_by
        )
        model = ultragcn.build(config.model, small_split, make_tables(), seed=0)
        return model.batches(small_split, config.train, seed=0)

    return make


@pytest.mark.parametrize(
    ("sampling", "shared_by", "shape"),
    [
        ("shared", 1000, (1, 20)),
        ("shared", 40, (3, 20)),
        ("shared", 1, (100, 20)),
        ("per_pair", 40, (100, 20)),
    ],
)
def test_who_shares_negatives(small_batches, small_split, sampling, shared_by, shape):
    batches = small_batches(sampling, shared_by)
    data = batches.dataset(tf.Variable(0, dtype=tf.int64))
    first, second = (step["negatives"].numpy() for step in data.take(2))
    assert first.shape == second.shape == shape
    assert np.any(first != second)
    assert len(np.unique(first, axis=0)) == shape[0]
    assert first.min() >= 0 < first.max() < small_split.num_items
    neighbours = 100 * 10
    assert batches.size == StepSize(
        users=100,
        items=100 + first.size + neighbours,
        pairs=100 + 100 * 20 + neighbours,
        positives=100,
    )


def test_neighbours_are_in_the_shares_of_rows(small_batches, small_split, make_tables):
    """Of a positive, 21 pairs without its ten neighbours, and 31 with them."""
    with_them = small_batches("per_pair", 0).shares
    without = small_batches("per_pair", 0, item_weight=0.0).shares
    config = config_files.load(config_files.find("ultragcn.py"), "own")
    model = ultragcn.build(config.model, small_split, make_tables(), seed=0)
    near = np.zeros(small_split.num_items)
    for item, neighbours in enumerate(model._neighbours.numpy()):
        for neighbour in neighbours:
            near[neighbour] += without.positives[item] / 10
    np.testing.assert_allclose(with_them.pairs, (21 * without.pairs + 10 * near) / 31)
    np.testing.assert_allclose(with_them.items, with_them.pairs)
    np.testing.assert_array_equal(with_them.users, without.users)


def test_without_the_item_graph_there_are_no_neighbours(small_batches):
    batches = small_batches("shared", 1000, item_weight=0.0)
    assert batches.size == StepSize(users=100, items=120, pairs=2100, positives=100)


def test_macs_by_hand(split, make_tables):
    model = _model(split, make_tables())
    users, items = np.array([1, 0.5, 0, 1]), np.array([1, 1, 1, 0.25])
    assert model.macs(users, items) == {"inner product": LayerMacs(per_pair=1.75)}


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("embedding_dim", 0, "at least 1"),
        ("initial_stddev", 0.0, "above 0"),
        ("weights", (1.0, 1.0, 1.0), "four numbers from 0"),
        ("weights", (1.0, -1.0, 1.0, 1.0), "four numbers from 0"),
        ("negative_weight", -1.0, "at least 0"),
        ("item_weight", -1.0, "at least 0"),
        ("item_neighbours", 0, "from 1 to the number of items, 7"),
        ("item_neighbours", 8, "from 1 to the number of items, 7"),
        ("regularization", -0.1, "at least 0"),
    ],
)
def test_keys_out_of_range(split, make_tables, key, value, rule):
    config = config_files.load(config_files.find("ultragcn.py"), "own")
    config.model.item_neighbours = 7
    config.model[key] = value
    with pytest.raises(UserError, match=f"^`model.{key}` must be {rule}. Received: "):
        ultragcn.build(config.model, split, make_tables(), seed=0)
