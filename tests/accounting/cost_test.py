import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.accounting import cost
from dsl_tf.backbones import mf, neumf
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.errors import UserError
from dsl_tf.layers.tables import DenseTables, SparseTables
from dsl_tf.optimizers import LazyAdam
from dsl_tf.training.state import TrainingState
from dsl_tf.types import StepSize

# Four positives with three negatives each.
SIZE = StepSize(4, 16, 16, 4)


def _pass(model, size=SIZE, name="select", steps=10, seconds=1.5, peak=700):
    state = TrainingState(
        epochs=2, seconds=seconds, peak_rss_bytes=peak, history=[{"step": steps}]
    )
    return cost.of_pass(name, model, state, size)


def _model(tables):
    model = neumf.NeuMF(5, 7, tables, gmf_dim=3, mlp_dim=2, mlp_layers=(4, 3))
    model.compile(keras.optimizers.Adam(0.01))
    row = tf.zeros([1], tf.int32)
    model({"user": row, "item": row, "negatives": row[:, None]})
    model.optimizer.build(model.trainable_variables)
    return model


# Kernels 4x4 and 4x3, biases 4 and 3, head 3 + 3 and its bias.
NETWORK = 16 + 12 + 4 + 3 + 6 + 1
TABLES = (5 + 7) * (3 + 2)


def test_dense():
    model = _model(DenseTables(5, 7))
    report = cost.report(model, [_pass(model)], base_rss_bytes=600)
    assert report["parameters"] == report["nonzeros"] == TABLES + NETWORK
    assert report["sparsity"] == 0.0
    assert sum(t["nonzeros"] for t in report["tensors"].values()) == TABLES + NETWORK
    assert report["tensors"]["mlp_kernel_0"] == {
        "shape": [4, 4],
        "nonzeros": 16,
        "bytes": 64,
    }
    training = report["training"]
    # Weights, Adam's two moments and its int64 count of steps.
    assert training["state_bytes"] == 3 * 4 * (TABLES + NETWORK) + 8
    assert training["activation_bytes"] == 0  # rows are looked up
    # See the test of NeuMF.macs: 11, 8 and 18 for a user, an item and a pair.
    forward = 10 * 4 * (11 + 4 * (8 + 18))
    optimizer = 10 * 5 * (TABLES + NETWORK)
    assert training["macs_forward"] == forward
    assert training["macs_backward"] == 2 * forward
    assert training["macs_optimizer"] == optimizer
    assert training["macs"] == 3 * forward + optimizer
    assert training["passes"][0]["macs"] == training["macs"]
    assert report["inference"]["macs_per_user"] == 11 + 7 * (8 + 18)
    assert report["inference"]["table_bytes"] == 4 * TABLES
    assert (training["peak_rss_bytes"], training["base_rss_bytes"]) == (700, 600)


@pytest.mark.parametrize(("positives", "share"), [(1, 5 / 12), (4, 1.0)])
def test_lazy_adam_updates_the_rows_of_a_batch(positives, share):
    """A positive touches at most a user and four items of the twelve rows."""
    model = _model(DenseTables(5, 7))
    model.compile(LazyAdam(0.01))
    model.optimizer.build(model.trainable_variables)
    size = StepSize(positives, 4 * positives, 4 * positives, positives)
    step = _pass(model, size)
    training = cost.report(model, [step], base_rss_bytes=600)["training"]
    assert training["macs_optimizer"] == round(10 * 5 * (TABLES * share + NETWORK))


def test_sparse():
    tables = SparseTables(np.ones(5), np.ones(7), 0.5, "masked", joint=True, seed=0)
    model = _model(tables)
    report = cost.report(model, [_pass(model)], base_rss_bytes=600)
    assert report["parameters"] == TABLES + NETWORK
    assert report["nonzeros"] == TABLES // 2 + NETWORK
    assert report["sparsity"] == 0.5
    # A bool beside every position of a table.
    state = 3 * 4 * (TABLES + NETWORK) + 8 + TABLES
    assert report["training"]["state_bytes"] == state
    assert report["inference"]["table_bytes"] == 4 * TABLES + TABLES
    users = model.user_vectors({"user_id": tf.range(5)}).numpy() != 0
    items = model.item_vectors().numpy() != 0
    pair = (users.mean(0)[:3] * items.mean(0)[:3]).sum() + 15
    per_user = users.mean(0)[:3].sum() + 4 * users.mean(0)[3:].sum()
    per_item = 4 * items.mean(0)[3:].sum()
    per_user_in_all = report["inference"]["macs_per_user"]
    assert per_user_in_all == round(per_user + 7 * (per_item + pair))
    assert per_user_in_all < 11 + 7 * (8 + 18)

    # What collects gradients for growth is training state too.
    callback = DynamicSparseTraining(update_interval=2, end_step=9, recorder_rows=6)
    callback.set_model(model)
    recorders = [w.recorder for w in model.sparse_weights()]
    extra = sum(v.numpy().nbytes for each in recorders for v in each.variables)
    assert extra > 6 * (3 + 2) * 4
    report = cost.report(model, [_pass(model)], base_rss_bytes=600)
    assert report["training"]["state_bytes"] == state + extra


def test_every_pass_counts():
    model = _model(DenseTables(5, 7))
    once = _pass(model)
    again = _pass(model, StepSize(3, 12, 12, 3), "refit", 7, 2.25, 900)
    first, second, both = (
        cost.report(model, passes, base_rss_bytes=600)["training"]
        for passes in ([once], [again], [once, again])
    )
    assert both["seconds"] == 3.75
    assert both["steps"] == 17
    assert both["macs"] == first["macs"] + second["macs"]
    assert both["peak_rss_bytes"] == 900
    assert [each["name"] for each in both["passes"]] == ["select", "refit"]
    assert both["passes"][1] == second["passes"][0]


def test_a_pass_of_another_model_counts_by_its_own_layers():
    """Such as a teacher's, or the narrower model of a pretraining."""
    student = _model(DenseTables(5, 7))
    teacher = mf.MF(5, 7, DenseTables(5, 7), 40)
    teacher.compile(keras.optimizers.Adam(0.01))
    teacher.optimizer.build(teacher.trainable_variables)
    passes = [_pass(teacher), _pass(student, steps=3)]
    report = cost.report(student, passes, base_rss_bytes=600)
    own = 3 * 4 * (11 + 4 * (8 + 18))
    assert report["as_published"]["training_macs"] == 10 * 16 * 40 + own


def test_passes_are_read_as_they_were_written(tmp_path):
    model = _model(DenseTables(5, 7))
    passes = [_pass(model), _pass(model, name="refit", steps=3)]
    report = cost.report(model, passes, base_rss_bytes=600)
    (tmp_path / cost.FILE).write_text(json.dumps(report))
    read = cost.read_passes(tmp_path)
    assert read == [
        dataclasses.replace(each, read_from=str(tmp_path)) for each in passes
    ]
    # They count as if they were this run's own, and the report says how much they are.
    again = cost.report(model, read, base_rss_bytes=600)["training"]
    own = report["training"]
    assert (own["seconds"], own["seconds_of_other_runs"]) == (3.0, 0.0)
    said = {"passes": None, "seconds_of_other_runs": 3.0}
    assert again | {"passes": None} == own | said


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"training": {"passes": [{"name": "select"}]}}']
)
def test_a_report_that_is_not_whole_is_one_line(tmp_path, content):
    (tmp_path / cost.FILE).write_text(content)
    with pytest.raises(UserError, match=r"passes that it took in its cost\.json\. R"):
        cost.read_passes(tmp_path)
