"""Milliseconds of a LightGCN training step, against PyTorch's COO product.

L=3, d=64, BPR with one negative, batches of 2048 positives, on Gowalla (from
`DSL_TF_DATA`; generated interactions of its size without it), dense tables and
sparse ones. The PyTorch step is benchmarks/torch_lightgcn.py, run by the Python that
the variable `TORCH_PYTHON` names, whose environment needs requirements-torch.txt;
without it only our own rows are printed. Each runs in a process of its own.
`sampled softmax` is the step by which the results are made: 8192 positives, with 256
negatives for every 256. Ratios are PyTorch's step divided by the row. The product is
bound by memory, which other guests of a machine share: all rows are measured in turn,
`ROUNDS` times, and a row is the median of its rounds.
"""

import json
import os
import pathlib
import statistics
import subprocess
import tempfile
from collections.abc import Iterator

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks import Row, fresh, main
from benchmarks.evaluation import synthetic_split
from benchmarks.train_step import Seconds
from dsl_tf import config_files, data
from dsl_tf.data.graph import adjacency
from dsl_tf.methods import base, dense, dsl
from dsl_tf.types import Split

GOWALLA, QUICK = (29858, 40981, 34), (2000, 3000, 30)
LAYERS, WIDTH, BATCH = 3, 64, 2048
STEPS, QUICK_STEPS, WARM = 20, 12, 5
ROUNDS = 3
TORCH = "torch COO, BPR"
#: Name, sparsity (None: dense), loss, batch, negatives, sampling.
FORMS = (
    ("dense", None, "bpr", BATCH, 1, "per_pair"),
    ("packed 0.5", 0.5, "bpr", BATCH, 1, "per_pair"),
    ("packed 0.8", 0.8, "bpr", BATCH, 1, "per_pair"),
    ("dense, sampled softmax", None, "sampled_softmax", 8192, 256, "shared"),
    ("packed 0.5, sampled softmax", 0.5, "sampled_softmax", 8192, 256, "shared"),
)


def split_of(quick: bool) -> Split:
    """Gowalla, or generated interactions."""
    if quick or not os.environ.get("DSL_TF_DATA"):
        return synthetic_split(*(QUICK if quick else GOWALLA))
    config = config_files.load(config_files.find("lightgcn.py"), "gowalla")
    return data.load_split(config.data)


def cell(
    sparsity: float | None,
    loss: str,
    batch: int,
    negatives: int,
    sampling: str,
    steps: int,
    quick: bool,
) -> dict[str, float]:
    """Measure one setting in this process."""
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)
    config = config_files.load(config_files.find("lightgcn.py"), "gowalla")
    config.model.update(num_layers=LAYERS, embedding_dim=WIDTH, loss=loss)
    config.train.update(batch_size=batch, negatives=negatives, sampling=sampling)
    config.sparsity.target = sparsity or 0.0
    split = split_of(quick)
    method = dense if sparsity is None else dsl
    tables = method.make_tables(config, split, 0)
    model, batches = base.make_model(split, config, tables, 0)
    begun = tf.Variable(0, dtype=tf.int64, trainable=False)
    seconds = Seconds()
    model.fit(
        batches.dataset(begun), steps_per_epoch=steps, verbose=0, callbacks=[seconds]
    )
    return {"step": statistics.median(seconds.between()[WARM:])}


def torch_step(steps: int, quick: bool) -> float | None:
    """Seconds of a step in PyTorch; None where `TORCH_PYTHON` is unset."""
    python = os.environ.get("TORCH_PYTHON")
    if not python:
        return None
    split = split_of(quick)
    graph = adjacency(split.train, split.num_users, split.num_items).tocoo()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "graph.npz"
        np.savez(
            path,
            row=graph.row,
            col=graph.col,
            value=graph.data,
            nodes=graph.shape[0],
            num_users=split.num_users,
            users=split.train.users,
            items=split.train.items,
        )
        script = pathlib.Path(__file__).with_name("torch_lightgcn.py")
        sizes = map(str, (LAYERS, WIDTH, BATCH, steps))
        ran = subprocess.run(
            [python, script, path, *sizes], capture_output=True, text=True, check=True
        )
    return statistics.median(json.loads(ran.stdout)[WARM:])


def measure(quick: bool) -> Iterator[Row]:
    steps, rounds = (QUICK_STEPS, 1) if quick else (STEPS, ROUNDS)
    setting = f"{'generated' if quick else 'gowalla'}, L={LAYERS}, d={WIDTH}"
    keys = ("sparsity", "loss", "batch", "negatives", "sampling")
    forms = {name: dict(zip(keys, form, strict=True)) for name, *form in FORMS}
    seconds: dict[str, list[float]] = {name: [] for name in (TORCH, *forms)}
    for _ in range(rounds):
        theirs = torch_step(steps, quick)
        if theirs is not None:
            seconds[TORCH].append(theirs)
        for name, wanted in forms.items():
            found = fresh.measured(
                "benchmarks.lightgcn", {**wanted, "steps": steps, "quick": quick}
            )
            seconds[name].append(found["step"])
    medians = {name: statistics.median(s) for name, s in seconds.items() if s}
    for name, step in medians.items():
        like_theirs = name in forms and forms[name]["loss"] == "bpr"
        ratio = medians[TORCH] / step if like_theirs and TORCH in medians else None
        yield Row(f"{name}: step", setting, step * 1e3, "ms", ratio)


if __name__ == "__main__" and not fresh.answer(cell):
    main(measure, "Milliseconds of a LightGCN training step.")
