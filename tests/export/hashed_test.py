"""Files of quotient-remainder tables have the small tables, and rank by their rows."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from dsl_tf.backbones import lightgcn, mf, neumf
from dsl_tf.evaluation.ties import TieOrder
from dsl_tf.export import hashed, tflite
from dsl_tf.export.device import DeviceModule
from dsl_tf.export.frozen import freeze
from dsl_tf.export.magnitude import within_bytes
from dsl_tf.export.saved_model import ServingModule
from dsl_tf.layers.hashed import HashedTables


def _tables(split, joint, operation="multiply", share=0.25):
    return HashedTables(split.num_users, split.num_items, joint, share, operation)


@pytest.fixture(params=["one table", "two tables", "four tables"])
def backbone(request, small_split):
    """MF with a table for both or for each, and NeuMF, whose vectors have two rows."""
    sizes = small_split.num_users, small_split.num_items
    tables = _tables(small_split, joint=request.param == "one table")
    if request.param == "four tables":
        model = neumf.NeuMF(*sizes, tables, 4, 8, (8,))
    else:
        model = mf.MF(*sizes, tables, 8, initial_stddev=0.3)
    model.user_vectors({"user_id": np.arange(1)})
    model.item_vectors(np.arange(1))
    return model


def test_rows_are_the_vectors(backbone, small_split):
    order = TieOrder(small_split.num_items, 3)
    found = hashed.hashed_rows(backbone, order)
    users = np.arange(small_split.num_users)
    stored = found["users"].stored("float32")
    expected = backbone.user_vectors({"user_id": users})
    np.testing.assert_array_equal(stored.rows(tf.constant(users)), expected)
    positions = np.arange(small_split.num_items)
    stored = found["items"].stored("float32")
    expected = backbone.item_vectors(order.items(positions))
    np.testing.assert_array_equal(stored.rows(tf.constant(positions)), expected)
    vector = tf.random.stateless_uniform([1, stored.width], [0, 1])
    products = stored.dot(vector, 5)(tf.constant(2))
    np.testing.assert_allclose(
        products, vector @ tf.transpose(expected[2:7]), rtol=1e-5
    )


@pytest.mark.parametrize(
    "coding",
    [
        "float32",
        "int4",
        pytest.param("float16", marks=pytest.mark.slow),
        pytest.param("int8", marks=pytest.mark.slow),
    ],
)
def test_the_file_is_small_and_ranks_as_its_numbers_say(small_split, tmp_path, coding):
    backbone = mf.MF(
        small_split.num_users,
        small_split.num_items,
        _tables(small_split, joint=True, operation="add"),
        32,
        initial_stddev=0.3,
    )
    frozen = freeze(backbone, small_split)
    module = DeviceModule(frozen, coding, 5)
    width = {"float32": 4, "float16": 2, "int8": 1, "int4": 0.5}[coding]
    # A quarter of the rows, and two bytes of scale for each.
    most = 0.25 * (frozen.users.nnz + frozen.items.nnz) * (width + 2 / 32)
    assert 0.7 * most < module.table_bytes <= most + 8
    variables = {v.ref() for v in (*module.users.variables, *module.items.variables)}
    assert module.table_bytes == sum(v.deref().numpy().nbytes for v in variables)
    scores = module.scorer()(tf.constant([3]))[0].numpy()
    best = np.argsort(-scores, kind="stable")[:5]
    path = tflite.convert(module, tmp_path / "model.tflite")
    recommend = Interpreter(model_path=str(path)).get_signature_runner("recommend")
    answer = recommend(user_id=np.array([3], np.int32), seen=np.array([[-1]], np.int32))
    np.testing.assert_allclose(answer["scores"][0], scores[best], rtol=1e-4, atol=1e-6)


def test_small_tables_that_fit_are_left_alone(small_split):
    tables = _tables(small_split, joint=True, operation="add")
    sizes = small_split.num_users, small_split.num_items
    frozen = freeze(mf.MF(*sizes, tables, 32, initial_stddev=0.3), small_split)
    whole = DeviceModule(frozen, "float16", 5).table_bytes
    layouts = {"users": "small", "items": "small"}
    assert within_bytes(frozen, "float16", layouts, whole) is frozen
    cut = within_bytes(frozen, "float16", layouts, whole - 1)
    assert DeviceModule(cut, "float16", 5).table_bytes < whole
    assert cut.users.nnz + cut.items.nnz < frozen.users.nnz + frozen.items.nnz


def test_a_server_has_the_small_tables_too(backbone, small_split):
    frozen = freeze(backbone, small_split)
    full = 4 * (frozen.users.nnz + frozen.items.nnz)
    module = ServingModule(frozen, 5)
    assert module.table_bytes < 0.5 * full
    answer = module.recommend(tf.constant([2], tf.int64))
    scores = module.scorer()(tf.constant([2]))[0].numpy()
    known = small_split.train.items[small_split.train.users == 2]
    scores[known] = -np.inf
    validation = small_split.validation
    scores[validation.items[validation.users == 2]] = -np.inf
    best = np.sort(scores)[-5:][::-1]
    np.testing.assert_allclose(answer["scores"][0], best, rtol=1e-5)


def test_propagated_rows_are_not_made_of_them(small_split):
    model = lightgcn.LightGCN(small_split, _tables(small_split, joint=True), 4, 2)
    assert freeze(model, small_split).hashed == {}
