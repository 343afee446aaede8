"""What every backbone promises, run over all that are found."""

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf import config_files, plugins
from dsl_tf.backbones._dot_product import DotProductBackbone
from dsl_tf.methods import base, dense, dsl

BACKBONES = plugins.names("dsl_tf.backbones")


@pytest.fixture(params=BACKBONES)
def config(request, small_neumf):
    if request.param == small_neumf.model.name:
        return small_neumf
    config = config_files.load(config_files.find(f"{request.param}.py"), "own")
    config.sparsity.update(small_neumf.sparsity)
    rate = 5 * config.train.learning_rate
    config.train.update(epochs=3, batch_size=256, learning_rate=rate)
    if request.param == "convncf":
        # Without its pretraining: weight decay would outweigh the first gradients.
        config.model.update(
            embedding_dim=16,
            channels=8,
            initial_stddev=0.3,
            embedding_regularization=0.0,
            conv_regularization=0.0,
            output_regularization=0.0,
        )
        config.train.learning_rate = 0.03
    config.train.negatives = min(config.train.negatives, 64)
    return config


@pytest.fixture(params=["dense", "sparse"])
def model(request, config, small_split):
    make_tables = (dense if request.param == "dense" else dsl).make_tables
    tables = make_tables(config, small_split, 0)
    model, _ = base.make_model(small_split, config, tables, seed=0, steps=1000)
    return model


def _losses(model, config, split, steps):
    begun = tf.Variable(0, dtype=tf.int64)
    data = iter(model.batches(split, config.train, 0).dataset(begun))
    step = model.make_train_function()
    return [float(step(data)["loss"]) for _ in range(steps)]


def test_loss_falls_and_is_deterministic(model, config, small_split):
    initial = [variable.numpy() for variable in model.variables]
    slots = [variable.numpy() for variable in model.optimizer.variables]
    losses = _losses(model, config, small_split, 120)
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])
    for variables, values in (
        (model.variables, initial),
        (model.optimizer.variables, slots),
    ):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    assert _losses(model, config, small_split, 30) == losses[:30]
    for weight in model.sparse_weights():
        assert not weight.read().numpy()[~weight.mask()].any()


def test_score_is_the_interaction_of_the_vectors(model, small_split):
    users = tf.constant([7, 0, 399, 7])
    score = model.score({"user_id": users}).numpy()
    assert score.shape == (4, small_split.num_items)
    assert score.dtype == np.float32
    vectors = model.user_vectors({"user_id": users}), model.item_vectors()
    np.testing.assert_allclose(score, model.interaction(*vectors), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(score[0], score[3], rtol=1e-4, atol=1e-6)
    assert np.unique(score).size > 100
    wide = model.user_vectors({"user_id": tf.cast(users, tf.int64)})
    np.testing.assert_array_equal(wide, vectors[0])


def test_tables_hold_zeros_where_weights_are_pruned(model):
    """What costs and figures count by."""
    rows = {"users": model.num_users, "items": model.num_items}
    zeros = sum(
        np.count_nonzero(look_up(tf.range(rows[kind])).numpy() == 0)
        for kind in rows
        for look_up in model.look_ups(kind).values()
    )
    pruned = sum(w.shape[0] * w.shape[1] - w.nnz for w in model.sparse_weights())
    assert zeros == pruned


def test_item_vectors_hold_the_rows_of_a_table(model):
    """So an export can pack them. A bias or the like may stand beside."""
    if model.prepared():
        pytest.skip("vectors are made from all rows")
    vectors = model.item_vectors().numpy()
    columns = {column.tobytes() for column in vectors.T}
    stored = [
        {column.tobytes() for column in look_up(tf.range(model.num_items)).numpy().T}
        for look_up in model.look_ups("items").values()
    ]
    held = [each for each in stored if each <= columns]
    assert len(columns) - sum(map(len, held)) <= 1
    assert held


def test_item_vectors_of_some_items_are_rows_of_all(model):
    """So an export reads them in blocks, in the order it stores them."""
    every = model.item_vectors().numpy()
    rows = np.array([3, 0, model.num_items - 1, 3])
    for dtype in (tf.int32, tf.int64):
        np.testing.assert_array_equal(
            model.item_vectors(tf.constant(rows, dtype)), every[rows]
        )


def test_a_dot_product_is_one(model):
    """The packed scoring of an export relies on it."""
    if not isinstance(model, DotProductBackbone):
        pytest.skip("scores by a network")
    users = model.user_vectors({"user_id": tf.range(5)})
    items = model.item_vectors()
    expected = model.query_vectors(users).numpy() @ items.numpy().T
    scores = model.interaction(users, items)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_macs_fall_with_the_zeros(model):
    widths = (
        model.user_vectors({"user_id": tf.zeros([1], tf.int32)}).shape[1],
        model.item_vectors().shape[1],
    )
    full, half, none = (
        np.sum([*model.macs(*(np.full(w, share) for w in widths)).values()], axis=0)
        for share in (1.0, 0.5, 0.0)
    )
    assert all(full >= half)
    assert all(half >= none)
    assert sum(full) > sum(half) > sum(none) >= 0


def test_interaction_needs_only_builtin_operations_of_tflite(model):
    widths = (
        model.user_vectors({"user_id": tf.zeros([1], tf.int32)}).shape[1],
        model.item_vectors().shape[1],
    )
    function = tf.function(model.interaction).get_concrete_function(
        *(tf.TensorSpec([None, width], tf.float32) for width in widths)
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    assert converter.convert()
