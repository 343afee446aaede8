import dataclasses

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from dsl_tf import config_files
from dsl_tf.backbones import lightgcn
from dsl_tf.errors import UserError
from dsl_tf.layers.base import SparseLayer
from dsl_tf.layers.tables import DenseTables, SparseTables
from dsl_tf.types import Interactions, LayerMacs, Split, empty_interactions

USERS, ITEMS = 5, 7
# User 4 and item 6 have no interaction.
PAIRS = np.array([[0, 0], [0, 1], [0, 2], [1, 1], [1, 5], [2, 3], [3, 3], [3, 4]])


@pytest.fixture
def split():
    users, items = PAIRS.T.astype(np.int32)
    return Split(
        name="tiny",
        user_ids=np.arange(USERS).astype(str).astype(object),
        item_ids=np.arange(ITEMS).astype(str).astype(object),
        train=Interactions(users, items),
        validation=empty_interactions(),
        test=empty_interactions(),
    )


@pytest.fixture
def batch():
    return {
        "user": np.array([0, 3, 1, 1], np.int32),
        "item": np.array([2, 4, 1, 5], np.int32),
        "negatives": np.array([[6, 3], [0, 1], [2, 2], [4, 0]], np.int32),
    }


def _model(split, sparsity=None, joint=True, **settings):
    if sparsity is None:
        tables = DenseTables(USERS, ITEMS)
    else:
        use = split.activity(), split.popularity()
        tables = SparseTables(*use, sparsity, "packed", joint=joint, seed=0)
    return lightgcn.LightGCN(
        split, tables, **{"embedding_dim": 4, "num_layers": 3, **settings}
    )


def _propagated(model, layers=3, hidden=()):
    """Equations 3 and 4 as they are written, by loops, in float64."""
    e = model.tables.whole().numpy().astype(np.float64)
    user_degree = np.bincount(PAIRS[:, 0], minlength=USERS)
    item_degree = np.bincount(PAIRS[:, 1], minlength=ITEMS)
    total, layer = e.copy(), e
    for _ in range(layers):
        following = np.zeros_like(e)
        for user, item in PAIRS:
            if (user, item) in hidden:
                continue
            norm = np.sqrt(user_degree[user]) * np.sqrt(item_degree[item])
            following[user] += layer[USERS + item] / norm
            following[USERS + item] += layer[user] / norm
        layer = following
        total += layer
    return total / (layers + 1)


@pytest.mark.parametrize("sparsity", [None, 0.4])
def test_vectors_are_the_mean_of_the_layers(split, sparsity):
    model = _model(split, sparsity)
    expected = _propagated(model)
    connected = np.ones(USERS + ITEMS, bool)
    connected[[4, USERS + 6]] = False
    users = model.user_vectors({"user_id": tf.range(USERS)}).numpy()
    items = model.item_vectors().numpy()
    np.testing.assert_allclose(
        np.concatenate([users, items])[connected], expected[connected], rtol=1e-4
    )
    # Nothing is known of those out of the graph.
    assert not users[4].any()
    assert not items[6].any()
    np.testing.assert_array_equal(
        model.user_vectors({"user_id": tf.range(USERS)}, model.prepared()), users
    )


@pytest.mark.parametrize("sparsity", [None, 0.4])
def test_losses(split, batch, sparsity):
    e = _propagated(_model(split, sparsity))
    users, items = e[:USERS], e[USERS:]
    rows = np.concatenate([batch["item"][:, None], batch["negatives"]], axis=1)
    logits = np.einsum("bd,bnd->bn", users[batch["user"]], items[rows])

    def loss(name):
        model = _model(split, sparsity, loss=name, regularization=0.0)
        np.testing.assert_allclose(model(batch), logits, rtol=1e-4, atol=1e-6)
        return float(model.compute_loss(batch))

    p = scipy.special.expit(logits[:, :1] - logits[:, 1:])
    assert loss("bpr") == pytest.approx(-np.log(p).mean(), rel=1e-5)
    p = scipy.special.softmax(logits, axis=1)[:, 0]
    assert loss("sampled_softmax") == pytest.approx(-np.log(p).mean(), rel=1e-5)


def test_hidden_positives_are_no_edges_where_a_batch_is_scored(split, batch):
    model = _model(split, hide_positives=True)
    positives = set(zip(batch["user"], batch["item"], strict=True))
    assert positives < set(map(tuple, PAIRS))
    e = _propagated(model, hidden=positives)
    rows = np.concatenate([batch["item"][:, None], batch["negatives"]], axis=1)
    expected = np.einsum("bd,bnd->bn", e[batch["user"]], e[USERS + rows])
    np.testing.assert_allclose(model(batch), expected, rtol=1e-4, atol=1e-6)
    # But they are where all are ranked.
    items = model.item_vectors().numpy()[:6]
    np.testing.assert_allclose(items, _propagated(model)[USERS:-1], rtol=1e-4)


def test_only_edges_are_hidden_and_each_once(split, batch):
    """A validation pair is none; a sampled positive may come twice in a batch."""
    model, plain = _model(split, hide_positives=True), _model(split)
    user, item = next(
        (user, item)
        for user in range(USERS)
        for item in range(6)
        if (user, item) not in set(map(tuple, PAIRS))
    )
    held_out = {
        "user": np.array([user], np.int32),
        "item": np.array([item], np.int32),
        "negatives": batch["negatives"][:1],
    }
    np.testing.assert_array_equal(model(held_out), plain(held_out))
    once = {name: each[:1] for name, each in batch.items()}
    twice = {name: np.repeat(each, 2, axis=0) for name, each in once.items()}
    expected = np.repeat(model(once), 2, axis=0)
    np.testing.assert_allclose(model(twice), expected, rtol=1e-6)


@pytest.mark.parametrize("sparsity", [None, 0.4])
def test_cosine_similarity(split, batch, sparsity):
    model = _model(split, sparsity, similarity="cosine", temperature=0.2)
    e = _propagated(model)
    e /= np.maximum(np.linalg.norm(e, axis=1, keepdims=True), 1e-12)
    rows = np.concatenate([batch["item"][:, None], batch["negatives"]], axis=1)
    expected = np.einsum("bd,bnd->bn", e[batch["user"]], e[USERS + rows]) / 0.2
    np.testing.assert_allclose(model(batch), expected, rtol=1e-4, atol=1e-5)
    scores = model.score({"user_id": batch["user"]}).numpy()
    found = np.take_along_axis(scores, rows, axis=1)
    in_graph = rows != 6
    np.testing.assert_allclose(found[in_graph], expected[in_graph], rtol=1e-4)


def test_shared_negatives(split, batch):
    model = _model(split, loss="sampled_softmax")
    shared = {**batch, "negatives": np.array([[6, 3, 0]], np.int32)}
    each = {**batch, "negatives": np.tile([6, 3, 0], (4, 1)).astype(np.int32)}
    np.testing.assert_allclose(model(shared), model(each), rtol=1e-5)


def test_regularization_is_of_layer_zero(split, batch):
    plain, penalised = (_model(split, regularization=r) for r in (0.0, 0.1))
    e = plain.tables.whole().numpy()
    rows = np.concatenate(
        [batch["user"], USERS + batch["item"], USERS + batch["negatives"].ravel()]
    )
    expected = 0.1 * 0.5 * np.square(e[rows]).sum() / 4
    difference = penalised.compute_loss(batch) - plain.compute_loss(batch)
    assert float(difference) == pytest.approx(expected, rel=1e-3)


def test_without_layers_it_is_matrix_factorisation(split):
    model = _model(split, num_layers=0)
    np.testing.assert_array_equal(
        model.item_vectors()[:6], model.tables.items(tf.range(6))
    )


@pytest.mark.parametrize(
    ("joint", "hide", "recorded"),
    [
        (True, True, 0.5),
        (True, False, 1.0),
        (False, True, 1.0),
        (False, False, 0.5),
        (True, False, 0.0),
    ],
)
def test_only_active_weights_learn(split, batch, joint, hide, recorded):
    """Their gradients, and what a recorder sees, are those of dense tables."""
    settings = {"hide_positives": hide, "regularization": 0.1}
    model = _model(split, 0.5, joint, **settings)
    weights = model.sparse_weights()
    for layer in model._flatten_layers():
        if isinstance(layer, SparseLayer):
            layer.record_gradients(100, recorded or 1.0)
            layer.record(recorded > 0)
            layer.resample(np.random.default_rng(0))
            layer.watch(True)

    @tf.function
    def gradients(model):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch)
        found = tape.gradient(loss, model.trainable_variables)
        return [tf.convert_to_tensor(each) for each in found]

    dense = _model(split, **settings)
    table = model.tables.whole()
    dense.tables.user_table.embeddings.assign(table[:USERS])
    dense.tables.item_table.embeddings.assign(table[USERS:])
    expected = np.concatenate(gradients(dense))
    for weight, found in zip(weights, gradients(model), strict=True):
        theirs, expected = np.split(expected, [weight.shape[0]])
        np.testing.assert_allclose(found, theirs[weight.mask()], rtol=1e-4, atol=1e-7)
        rows, sums = (each.numpy() for each in weight.recorder.recorded())
        assert len(rows) == round(recorded * weight.shape[0])
        np.testing.assert_allclose(sums, theirs[rows], rtol=1e-4, atol=1e-7)


def test_no_gradient_of_the_tables_shape_is_read(split, batch):
    """Of what the table's dense form goes through, no tensor comes back.

    Tensors of its shape in the backward pass are propagated ones: all that is made
    of them is a product with the graph, or a sum with a batch's rows.
    """
    model = _model(split, 0.5)

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch)
        backward = tf.identity(loss, name="backward")
        with tf.control_dependencies([backward]):
            return tape.gradient(loss, model.trainable_variables)

    operations = step.get_concrete_function(batch).graph.get_operations()
    begin = [operation.name for operation in operations].index("backward")
    consumers = {
        consumer.type
        for operation in operations[begin:]
        for output in operation.outputs
        if output.shape.rank == 2 and output.shape[0] == USERS + ITEMS
        for consumer in output.consumers()
    }
    assert consumers == {"SparseMatrixMatMul", "TensorScatterAdd"}


def test_macs_by_hand(split):
    model = _model(split)
    macs = model.macs(np.ones(4), np.array([1.0, 0.5, 0.5, 0.0]))
    # Eight pairs, each in both directions, over each of three hops of width 4.
    hop = LayerMacs(once=2 * 8 * 4, once_backward=2 * 8 * 4)
    assert macs == {
        **{f"propagation, hop {place}": hop for place in (1, 2, 3)},
        "inner product": LayerMacs(per_pair=2.0),
    }
    # Four dense tables of float32.
    assert model.activation_bytes == 4 * 4 * 4 * (split.num_users + split.num_items)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("embedding_dim", 0, "at least 1"),
        ("num_layers", -1, "at least 0"),
        ("initial_stddev", 0.0, "above 0"),
        ("temperature", 0.0, "above 0"),
        ("similarity", "angle", "one of dot, cosine"),
        ("regularization", -0.1, "at least 0"),
    ],
)
def test_keys_out_of_range(split, key, value, rule):
    config = config_files.load(config_files.find("lightgcn.py"), "own")
    config.model[key] = value
    with pytest.raises(UserError, match=f"`model.{key}` must be {rule}"):
        lightgcn.build(config.model, split, DenseTables(USERS, ITEMS), seed=0)


def test_nodes_out_of_the_graph_are_told(split):
    (finding,) = _model(split).findings
    assert finding.startswith("1 users and 1 items without training interactions")
    users, items = PAIRS[:, 0].astype(np.int32), PAIRS[:, 1].astype(np.int32)
    ids = {"user_ids": split.user_ids[:4], "item_ids": split.item_ids[:6]}
    whole = dataclasses.replace(split, **ids, train=Interactions(users, items))
    tables = DenseTables(4, 6)
    assert lightgcn.LightGCN(whole, tables, 4, num_layers=1).findings == ()


def test_an_empty_graph(split):
    nothing = dataclasses.replace(split, train=empty_interactions())
    assert not _model(nothing).item_vectors().numpy().any()
