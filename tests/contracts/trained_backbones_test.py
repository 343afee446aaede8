"""What every backbone promises of a whole run with DSL, from data to files."""

import json

import numpy as np
import pytest
import rich.console
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from dsl_tf import config_files, data, experiment, plugins
from dsl_tf.methods import base, dsl

pytestmark = pytest.mark.slow

BACKBONES = plugins.names("dsl_tf.backbones")

#: Where the values of the user's own data would take more epochs.
FASTER = {
    "cdae": {"train.epochs": 40, "train.batch_size": 32},
    "multvae": {"train.epochs": 25, "train.learning_rate": 5e-3},
    "ultragcn": {
        "train.epochs": 24,
        "train.learning_rate": 3e-2,
        "model.negative_weight": 30.0,
    },
    "convncf": {
        "model.embedding_dim": 16,
        "model.channels": 8,
        "train.learning_rate": 3e-3,
        "evaluation.protocol": "full_ranking",
        "evaluation.validation_protocol": "",
    },
    "neumf": {"model.gmf_dim": 32, "model.mlp_dim": 16},
}


def _run(name, storage, csv, folder, formats):
    config = config_files.load(config_files.find(f"{name}.py"), "own")
    config.data.path = str(csv)
    config.storage = storage
    config.sparsity.update_interval = 20
    config.train.update(epochs=8, batch_size=256, patience=0, learning_rate=1e-2)
    config.train.validate_every = 4
    config.train.negatives = min(config.train.negatives, 64)
    config.export.formats = formats
    config.export.evaluate = False
    config.update_from_flattened_dict(FASTER.get(name, {}))
    experiment.train(config, folder)
    return folder


@pytest.mark.parametrize("name", BACKBONES)
def test_a_run(name, small_csv, tmp_path):
    """One test for each, as the runs take longer than all that is asked of them."""
    formats = ("saved_model", "tflite")
    packed = _run(name, "packed", small_csv, tmp_path / "packed", formats)
    _assert_exact_budget_that_moved(packed)
    _assert_structure(packed)
    _assert_both_files_rank_alike(packed)
    masked = _run(name, "masked", small_csv, tmp_path / "masked", ())
    _assert_same_measures(packed, masked)


def _read(folder, name):
    return json.loads((folder / name).read_text("utf-8"))


def _assert_exact_budget_that_moved(folder):
    config = config_files.completed(_read(folder, "config.json")["config"])
    split = data.load_split(config.data)
    console = rich.console.Console(quiet=True)
    task = base.Task(split, 0, folder / base.CHECKPOINTS, console)
    trained = base.restore(task, config, dsl.train).model
    tables = dsl.make_tables(config, split, 0)
    initial, _ = base.make_model(split, config, tables, 0)
    before, after = (
        np.concatenate([weight.mask().ravel() for weight in model.sparse_weights()])
        for model in (initial, trained)
    )
    assert after.sum() == before.sum() == round(0.5 * after.size)
    # How far depends on the gradients that explorations find; MultVAE has two of them.
    assert 0.02 < np.mean(before != after) < 0.98


def _assert_structure(folder):
    """It finds what popularity has not."""
    metrics = _read(folder, "metrics.json")
    popularity = metrics["reference"]["popularity"]["recall@20"]
    assert metrics["test"]["recall@20"] > 1.1 * popularity


def _assert_same_measures(packed, masked):
    packed, masked = (_read(each, "metrics.json")["test"] for each in (packed, masked))
    for metric in ("recall@20", "ndcg@20", "coverage@20"):
        assert packed[metric] == pytest.approx(masked[metric], rel=1e-3)


def _assert_both_files_rank_alike(folder):
    served = tf.saved_model.load(folder / "saved_model").signatures
    device = Interpreter(
        model_path=str(folder / "model.tflite"),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    split = data.load_split(
        config_files.completed(_read(folder, "config.json")["config"]).data
    )
    recommend = device.get_signature_runner("recommend")
    for user in range(20):
        parts = (split.train, split.validation)
        seen = np.concatenate([part.items[part.users == user] for part in parts])
        _assert_same(
            recommend(user_id=np.int32([user]), seen=np.int32([seen])),
            served["serving_default"](user_id=tf.constant([user], tf.int64)),
        )
    assert ("from_history" in served) == ("from_history" in device.get_signature_list())
    if "from_history" not in served:
        return
    from_history = device.get_signature_runner("from_history")
    rng = np.random.default_rng(0)
    for history in rng.integers(split.num_items, size=(20, 1, 15), dtype=np.int32):
        _assert_same(
            from_history(history=history),
            served["from_history"](history=tf.constant(history)),
        )


def _assert_same(mine, theirs):
    """Equal scores, and equal ids wherever neighbours differ by over 1e-4."""
    scores = theirs["scores"].numpy()[0]
    np.testing.assert_allclose(mine["scores"][0], scores, rtol=1e-4, atol=1e-5)
    close = -np.diff(scores) <= 1e-4
    clear = ~(np.append(close, False) | np.append(False, close))
    assert clear.mean() > 0.5
    ids = theirs["item_ids"].numpy()[0]
    np.testing.assert_array_equal(mine["item_ids"][0][clear], ids[clear])
