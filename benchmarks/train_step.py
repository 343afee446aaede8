"""Seconds and memory of a training step: dense, masked and packed tables.

One table [rows, 64] of users and items, batches of 2048 positives with 4 negatives
each, uniform over the rows (the worst case for what a step touches), binary cross
entropy. Sparse tables are trained by `DynamicSparseTraining` with half of the
weights asked for at the first exploration. Each setting has a process of its own.
Memory is the growth of its resident memory over `base`, itself just after the
imports:

  steady  the most of any step between two explorations, the steps that record
          gradients included;
  peak    the most since the imports: creation, steps and explorations.

The ratios of `step`, `steady` and `peak` are those of the first row of as many table
rows (dense, Keras's Adam where it is run) to the row's own: above 1 is better.
"""

import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Any

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks import Row, fresh, main
from dsl_tf import optimizers
from dsl_tf.accounting import size
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.layers.embedding import SparseEmbedding

BASE = size.rss_bytes()

WIDTH, BATCH, NEGATIVES = 64, 2048, 4
INTERVAL = 12
SIZES, QUICK_SIZES = (100_000, 1_000_000, 10_000_000), (100_000,)
SPARSITIES, QUICK_SPARSITIES = (0.5, 0.8, 0.9, 0.95), (0.9,)
#: Keras's Adam passes over the whole table several times in every step; larger ones
#: would take minutes a row of this table.
MOST_ROWS = {"adam": 1_000_000, "lazy_adam": 10_000_000}


class DotProduct(keras.Model):
    """Scores of a user with some items, from one table."""

    def __init__(self, table: keras.layers.Layer) -> None:
        super().__init__()
        self.table = table

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """Row numbers [B, 1 + n], the user first, to scores [B, n]."""
        return tf.einsum(
            "bud,bnd->bn", self.table(rows[:, :1]), self.table(rows[:, 1:])
        )


class Seconds(keras.callbacks.Callback):
    """When each step ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.ends.append(time.perf_counter())

    def between(self) -> list[float]:
        """Seconds from each end of a step to the next."""
        return [after - before for before, after in itertools.pairwise(self.ends)]


class Watch(keras.callbacks.Callback):
    """Seconds of every step, and the memory between two explorations."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.peaks: dict[str, int] = {"start": 0, "steady": 0}

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == INTERVAL:  # after the first exploration
            self.peaks["start"] = size.peak_rss_bytes()
            size.reset_peak()
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self._start)
        if batch == 2 * INTERVAL - 1:  # before the second
            self.peaks["steady"] = size.peak_rss_bytes()


class Explorations(keras.callbacks.Callback):
    """Seconds of what the callbacks between two of these take, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.most = 0.0, 0.0
        self.after = keras.callbacks.LambdaCallback(on_train_batch_end=self._end)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.start = time.perf_counter()

    def _end(self, batch: int, logs: Any = None) -> None:
        self.most = max(self.most, time.perf_counter() - self.start)


def batches(rows: int) -> tf.data.Dataset:
    """Random rows: the first half are users, the second items."""
    labels = np.zeros((BATCH, 1 + NEGATIVES), np.float32)
    labels[:, 0] = 1.0

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def draw(columns: int, seed: int, low: int, high: int) -> tf.Tensor:
            shape, seeds = [BATCH, columns], tf.stack([seed, step])
            return tf.random.stateless_uniform(shape, seeds, low, high, tf.int32)

        users = draw(1, 0, 0, rows // 2)
        items = draw(1 + NEGATIVES, 1, rows // 2, rows)
        return tf.concat([users, items], axis=1), labels

    return tf.data.Dataset.range(1 << 40).map(batch).prefetch(2)


def cell(rows: int, form: str, sparsity: float, optimizer: str) -> dict[str, float]:
    """Measure one setting in this process."""
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)
    size.reset_peak()
    normal = keras.initializers.RandomNormal(stddev=0.01, seed=1)
    watch, explorations = Watch(), Explorations()
    callbacks: list[keras.callbacks.Callback] = [watch]
    if form == "dense":
        table = keras.layers.Embedding(rows, WIDTH, normal)
    else:
        table = SparseEmbedding(rows, WIDTH, sparsity, normal, storage=form)
        dynamic = DynamicSparseTraining(0.5, INTERVAL, end_step=100 * INTERVAL)
        callbacks += [explorations, dynamic, explorations.after]
    model = DotProduct(table)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizers.make(optimizer, 1e-3), loss)
    model(tf.zeros([1, 2], tf.int32))
    model.optimizer.build(model.trainable_variables)
    steps = 2 * INTERVAL + 1
    model.fit(
        batches(rows), steps_per_epoch=steps, verbose=0, callbacks=callbacks
    )  # fmt: skip
    peaks = [*watch.peaks.values(), size.peak_rss_bytes()]
    return {
        "step": statistics.median(watch.seconds[INTERVAL:]),
        "steady": watch.peaks["steady"] - BASE,
        "peak": max(peaks) - BASE,
        "exploration": explorations.most,
        "base": BASE,
    }


def settings(quick: bool) -> Iterator[tuple[int, str, float, str]]:
    """Rows, form, sparsity and optimiser of each line of the table."""
    for rows in QUICK_SIZES if quick else SIZES:
        for optimizer, most in MOST_ROWS.items():
            if rows > most:
                continue
            yield rows, "dense", 0.0, optimizer
            yield rows, "masked", 0.9, optimizer
            for sparsity in QUICK_SPARSITIES if quick else SPARSITIES:
                yield rows, "packed", sparsity, optimizer


def measure(quick: bool) -> Iterator[Row]:
    reference: dict[int, dict[str, float]] = {}
    for rows, form, sparsity, optimizer in settings(quick):
        found = fresh.measured(
            "benchmarks.train_step",
            {"rows": rows, "form": form, "sparsity": sparsity, "optimizer": optimizer},
        )
        compared = reference.setdefault(rows, found)
        name = f"{form} {sparsity:g}" if form != "dense" else form
        setting = f"{rows:,} x {WIDTH}, {optimizer}"
        for key, factor, unit in (
            ("step", 1e3, "ms"),
            ("steady", 1e-6, "MB"),
            ("peak", 1e-6, "MB"),
            ("base", 1e-6, "MB"),
            ("exploration", 1.0, "s"),
        ):
            if key == "exploration" and form == "dense":
                continue
            ratio = None
            if key in ("step", "steady", "peak") and found is not compared:
                ratio = compared[key] / found[key]
            yield Row(f"{name}: {key}", setting, found[key] * factor, unit, ratio)


if __name__ == "__main__" and not fresh.answer(cell):
    main(measure, "Seconds and memory of a training step.")
