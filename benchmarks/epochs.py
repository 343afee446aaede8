"""Seconds of a training epoch on MovieLens-100K, against RecBole 1.2.1.

NeuMF, MultVAE, CDAE and ConvNCF with the values of our configs, dense and with half
of the weights, on the training part of ml-100k (from `DSL_TF_DATA`; generated
interactions of its size without it). RecBole has the same widths, batches and
negatives, and runs by benchmarks/recbole_steps.py with the Python that the variable
`RECBOLE_PYTHON` names, whose environment needs requirements-recbole.txt; without it
only our own rows are printed. Each row is a process of its own. An epoch is the median
step times the steps of an epoch; the making of batches is in it, validation is not.
RecBole's CDAE takes every item as a target, ours draws negatives, as Wu et al. do.
Ratios are RecBole's epoch divided by the row.
"""

import json
import os
import pathlib
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from benchmarks import Row, fresh, main
from benchmarks.evaluation import synthetic_split
from benchmarks.train_step import Seconds
from dsl_tf import config_files, data
from dsl_tf.methods import base, dense, dsl
from dsl_tf.types import Split

ML_100K, QUICK = (943, 1682, 106), (200, 300, 20)
WARM = 3
#: Steps to time of each, warm ones included: about a minute at the slowest.
STEPS = {"neumf": 300, "multvae": 60, "cdae": 60, "convncf": 20}
QUICK_STEPS = 5
FORMS = {"dense": None, "packed 0.5": 0.5}


def split_of(quick: bool) -> Split:
    """MovieLens-100K, or generated interactions."""
    if quick or not os.environ.get("DSL_TF_DATA"):
        return synthetic_split(*(QUICK if quick else ML_100K))
    return data.load_split(config_of("neumf").data)


def config_of(backbone: str) -> config_dict.ConfigDict:
    """The values of a backbone on MovieLens-100K."""
    return config_files.load(config_files.find(f"{backbone}.py"), "ml-100k")


def cell(
    backbone: str, sparsity: float | None, steps: int, quick: bool
) -> dict[str, float]:
    """Measure one of our rows in this process."""
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)
    config, split = config_of(backbone), split_of(quick)
    config.sparsity.target = sparsity or 0.0
    method = dense if sparsity is None else dsl
    model, batches = base.make_model(
        split, config, method.make_tables(config, split, 0), 0
    )
    begun = tf.Variable(0, dtype=tf.int64, trainable=False)
    seconds = Seconds()
    model.fit(
        batches.dataset(begun), steps_per_epoch=steps, verbose=0, callbacks=[seconds]
    )
    step = statistics.median(seconds.between()[WARM:])
    return {"epoch": step * batches.steps_per_epoch}


def recbole_keys(backbone: str) -> tuple[str, dict[str, Any]]:
    """RecBole's name of a backbone, and its keys for the values of our config."""
    config = config_of(backbone)
    model, train = config.model, config.train
    keys = {"learning_rate": train.learning_rate, "train_batch_size": train.batch_size}

    def negatives(number: int) -> dict[str, Any]:
        # RecBole counts a positive's negatives into the batch of pointwise losses.
        return {
            "train_neg_sample_args": {"distribution": "uniform", "sample_num": number}
        }

    if backbone == "neumf":
        keys |= negatives(train.negatives)
        keys |= {
            "train_batch_size": train.batch_size * (1 + train.negatives),
            "mf_embedding_size": model.gmf_dim,
            "mlp_embedding_size": model.mlp_dim,
            "mlp_hidden_size": list(model.mlp_layers),
            "dropout_prob": 0.0,
        }
        return "NeuMF", keys
    if backbone == "convncf":
        layers = model.embedding_dim.bit_length() - 1
        keys |= negatives(train.negatives)
        keys |= {
            "embedding_size": model.embedding_dim,
            "cnn_channels": [1, *[model.channels] * layers],
            "cnn_kernels": [2] * layers,
            "cnn_strides": [2] * layers,
            "dropout_prob": 0.0,
        }
        return "ConvNCF", keys
    keys["train_neg_sample_args"] = None
    if backbone == "cdae":
        return "CDAE", keys | {
            "embedding_size": model.hidden_dim,
            "corruption_ratio": model.corruption,
            "reg_weight_2": model.regularization,
        }
    return "MultiVAE", keys | {
        "mlp_hidden_size": list(model.hidden_dims),
        "latent_dimension": model.latent_dim,
        "dropout_prob": model.dropout,
    }


def recbole_epoch(backbone: str, steps: int, quick: bool) -> float | None:
    """Seconds of RecBole's epoch; None where `RECBOLE_PYTHON` is unset."""
    python = os.environ.get("RECBOLE_PYTHON")
    if not python:
        return None
    split = split_of(quick)
    name, keys = recbole_keys(backbone)
    setting = {
        "model": name,
        "config": keys,
        "users": split.train.users.tolist(),
        "items": split.train.items.tolist(),
        "steps": steps,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "setting.json"
        path.write_text(json.dumps(setting))
        script = pathlib.Path(__file__).with_name("recbole_steps.py").resolve()
        ran = subprocess.run(
            [python, script, path],
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,  # it writes logs beside itself
        )
    found = json.loads(ran.stdout.splitlines()[-1])
    return statistics.median(found["seconds"][WARM:]) * found["steps_per_epoch"]


def measure(quick: bool) -> Iterator[Row]:
    data_set = "generated" if quick or not os.environ.get("DSL_TF_DATA") else "ml-100k"
    for backbone, steps in STEPS.items():
        steps = QUICK_STEPS if quick else steps
        setting = f"{data_set}, batches of {config_of(backbone).train.batch_size}"
        theirs = recbole_epoch(backbone, steps, quick)
        if theirs is not None:
            yield Row(f"{backbone}, RecBole: epoch", setting, theirs, "s")
        for form, sparsity in FORMS.items():
            wanted = {"backbone": backbone, "sparsity": sparsity}
            found = fresh.measured(
                "benchmarks.epochs", {**wanted, "steps": steps, "quick": quick}
            )
            ratio = theirs / found["epoch"] if theirs else None
            yield Row(f"{backbone}, {form}: epoch", setting, found["epoch"], "s", ratio)


if __name__ == "__main__" and not fresh.answer(cell):
    main(measure, "Seconds of a training epoch against RecBole's.")
