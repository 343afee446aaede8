"""A graph model that is propagated when it is loaded."""

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.backbones.lightgcn import LightGCN
from dsl_tf.export import artefacts
from dsl_tf.export.factored import FactoredModule
from dsl_tf.export.frozen import freeze
from dsl_tf.export.saved_model import ServingModule, save
from dsl_tf.layers.tables import DenseTables, SparseTables

USERS, ITEMS, K = 60, 900, 10


@pytest.fixture(scope="module")
def graph_model(new_split):
    """Makes a LightGCN and its split.

    User 0 has no interaction; most items have none, or few.
    """

    def make(sparsity, seed=0, layers=3, **settings):
        rng = np.random.default_rng(seed)
        pairs = [
            (user, int(item))
            for user in range(1, USERS)
            for item in set((ITEMS * rng.random(size=30) ** 2).astype(int))
        ]
        held_out = pairs[::5]
        split = new_split(USERS, ITEMS, sorted(set(pairs) - set(held_out)), held_out)
        if sparsity:
            tables = SparseTables(
                split.activity(),
                split.popularity(),
                sparsity,
                "packed",
                joint=True,
                seed=seed,
            )
        else:
            tables = DenseTables(USERS, ITEMS)
        return LightGCN(split, tables, 16, layers, seed=seed, **settings), split

    return make


def _ranked(module, users):
    return module.recommend(tf.constant(users))


@pytest.mark.parametrize("sparsity", [0.0, 0.8])
@pytest.mark.parametrize("layers", [0, 2, 3])
@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_it_ranks_as_the_propagated_table(sparsity, layers, similarity, graph_model):
    model, split = graph_model(sparsity, layers=layers, similarity=similarity)
    frozen = freeze(model, split)
    users = tf.range(-1, USERS + 1, dtype=tf.int64)
    expected = _ranked(ServingModule(frozen, K), users)
    found = _ranked(FactoredModule(frozen, K), users)
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-4)
    np.testing.assert_array_equal(found["item_ids"], expected["item_ids"])


def test_it_is_smaller_by_the_zeros(graph_model):
    frozen = freeze(*graph_model(0.8))
    whole, factored = ServingModule(frozen, K), FactoredModule(frozen, K)
    # Only nodes out of the graph are zero in the propagated table.
    assert factored.table_bytes < 0.4 * whole.table_bytes
    # The edges are the histories, and how many of a user's are edges.
    assert factored.history_bytes == whole.history_bytes + 4 * USERS


@pytest.mark.parametrize("sparsity", [0.0, 0.8])
def test_a_process_without_the_package_serves_it(
    sparsity, tmp_path, asked_elsewhere, graph_model
):
    frozen = freeze(*graph_model(sparsity))
    folder = save(FactoredModule(frozen, K), tmp_path / "factored")
    users, items = np.arange(-1, USERS + 1), np.arange(USERS + 2)
    query = {"user_id": users, "pair_user": users, "pair_item": items}
    answer = asked_elsewhere(folder, **query)
    module = ServingModule(frozen, K)
    expected = module.recommend(tf.constant(users))
    np.testing.assert_array_equal(answer["item_ids"], expected["item_ids"])
    np.testing.assert_allclose(answer["scores"], expected["scores"], rtol=1e-4)
    expected = module.score(tf.constant(users), tf.constant(items))
    np.testing.assert_allclose(answer["score"], expected["score"], rtol=1e-4, atol=1e-6)


def test_two_models_in_one_process_do_not_mix(tmp_path, graph_model):
    answers, loaded = [], []
    users = tf.range(USERS, dtype=tf.int64)
    for seed in (0, 1):
        frozen = freeze(*graph_model(0.5, seed))
        answers.append(_ranked(ServingModule(frozen, K), users)["scores"])
        save(FactoredModule(frozen, K), tmp_path / str(seed))
    for seed in (0, 1):
        loaded.append(tf.saved_model.load(str(tmp_path / str(seed))))
    for model, expected in zip(loaded, answers, strict=True):
        found = model.signatures["serving_default"](user_id=users)["scores"]
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_session_serves_it(tmp_path, graph_model):
    """As TensorFlow Serving loads a model: one graph, its initialiser, requests."""
    frozen = freeze(*graph_model(0.5))
    folder = save(FactoredModule(frozen, K), tmp_path / "factored")
    users = np.arange(USERS)
    expected = _ranked(ServingModule(frozen, K), tf.constant(users))
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        signature = graph.signature_def["serving_default"]
        for _ in range(2):
            found = session.run(
                signature.outputs["scores"].name,
                {signature.inputs["user_id"].name: users},
            )
            np.testing.assert_allclose(found, expected["scores"], rtol=1e-4)


def test_it_is_exported_beside_the_propagated_table(tmp_path, graph_model):
    backbone, split = graph_model(0.8)
    exported = artefacts.export_model(
        backbone,
        split,
        tmp_path,
        formats=("saved_model", artefacts.FACTORED),
        table_bytes=20_000,
        measure=lambda score: {"mean": float(tf.reduce_mean(score(tf.range(5))))},
    )
    detail = exported.files_detail
    assert detail["saved_model"]["tables"] <= 20_000
    # Nothing is cut off layer 0.
    whole = FactoredModule(freeze(backbone, split), K).table_bytes
    assert detail[artefacts.FACTORED]["tables"] == whole
    assert len(exported.files_metrics) == 2


def test_a_model_without_a_graph_is_refused(tied):
    with pytest.raises(ValueError, match="must have a `graph`"):
        FactoredModule(freeze(tied.backbone, tied.split), K)
