"""A table whose dense form does not fit into memory, trained until it has learnt.

Generated interactions: users and items belong to one of `GROUPS` tastes by a hash of
their number, and a user takes items of the own taste. Activity and popularity fall
steeply, as they do in practice: half of the interactions come from 0.4 % of the rows.
The dot product of two rows of one sparse table [rows, 64] is trained by plain `fit`
with `DynamicSparseTraining` and lazy Adam. A tenth of the pairs, by a hash, is kept
for the test: AUC, the chance that a taken item scores above a random one (.5 says
nothing).
`dense form` is what the dense table and Adam's two moments would take.
"""

import time
from collections.abc import Iterator

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks import Row, fresh, main
from benchmarks.train_step import DotProduct, Seconds
from dsl_tf.accounting import size
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.optimizers import LazyAdam

BASE = size.rss_bytes()

WIDTH, SPARSITY, GROUPS = 64, 0.95, 16
BATCH, NEGATIVES, STEEPNESS = 8192, 4, 8.0
SIZES, QUICK_SIZES = ((40_000_000, 5000),), ((400_000, 150),)
TEST_BATCHES = 20
#: One pair in so many is kept for the test.
TEST_SHARE = 10


def interactions(rows: int, seed: int, test: bool) -> tf.data.Dataset:
    """Batches of rows [B, 2 + n]: a user, an item taken, random items; and labels.

    The first half of the rows are users, the second items. A pair of a user and
    an item taken is either in training or in the test.
    """
    half = rows // 2
    labels = np.zeros((BATCH, 1 + NEGATIVES), np.float32)
    labels[:, 0] = 1.0

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def skewed(columns: int, stream: int) -> tf.Tensor:
            seeds = tf.stack([seed * 10 + stream, step])
            uniform = tf.random.stateless_uniform(
                [BATCH, columns], seeds, dtype=tf.float64
            )
            return tf.cast(half * uniform**STEEPNESS, tf.int32)

        users, taken, others = skewed(1, 0), skewed(1, 1), skewed(NEGATIVES, 2)
        # The item of the user's taste next to the one drawn.
        taken = tf.minimum(taken - taken % GROUPS + users * 7 % GROUPS, half - 1)
        # Pairs of the other part go to the next item of the same taste.
        is_test = (users * 31 + taken // GROUPS) % TEST_SHARE == 0
        step_on = tf.where(is_test == test, 0, GROUPS)
        for _ in range(TEST_SHARE if test else 1):
            moved = taken + step_on
            is_test = (users * 31 + moved // GROUPS) % TEST_SHARE == 0
            taken, step_on = moved, tf.where(is_test == test, 0, GROUPS)
        taken = tf.minimum(taken, half - 1)
        return tf.concat([users, half + taken, half + others], axis=1), labels

    return tf.data.Dataset.range(1 << 40).map(batch).prefetch(2)


def auc(model: keras.Model, data: tf.data.Dataset) -> float:
    """The share of (taken, random) pairs in the right order; ties count half."""
    right = []
    for rows, _ in data.take(TEST_BATCHES):
        scores = model(rows).numpy()
        better = scores[:, :1] - scores[:, 1:]
        right.append(((better > 0) + 0.5 * (better == 0)).mean())
    return float(np.mean(right))


def cell(rows: int, steps: int) -> dict[str, float]:
    """Train and measure one setting in this process."""
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)
    size.reset_peak()
    start = time.perf_counter()
    normal = keras.initializers.RandomNormal(stddev=0.1, seed=1)
    model = DotProduct(SparseEmbedding(rows, WIDTH, SPARSITY, normal))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(LazyAdam(0.02), loss)
    model(tf.zeros([1, 2], tf.int32))
    model.optimizer.build(model.trainable_variables)
    created = time.perf_counter() - start
    before = auc(model, interactions(rows, seed=2, test=True))
    dynamic = DynamicSparseTraining(0.3, max(1, steps // 10), end_step=steps // 2)
    seconds = Seconds()
    model.fit(
        interactions(rows, seed=1, test=False), steps_per_epoch=steps, verbose=0,
        callbacks=[dynamic, seconds],
    )  # fmt: skip
    peak = size.peak_rss_bytes()
    (weight,) = model.table.own_sparse_weights
    stored = [*model.variables, *model.optimizer.variables]
    return {
        "created": created,
        "step": float(np.median(seconds.between())),
        "training": seconds.ends[-1] - start - created,
        "state": size.variable_bytes(stored),
        "peak": peak - BASE,
        "base": BASE,
        "before": before,
        "after": auc(model, interactions(rows, seed=2, test=True)),
        "moved": sum(record.done for record in dynamic.records) / weight.nnz,
    }


def measure(quick: bool) -> Iterator[Row]:
    for rows, steps in QUICK_SIZES if quick else SIZES:
        setting = f"{rows:,} x {WIDTH}, s={SPARSITY}"
        dense = 3 * 4 * rows * WIDTH
        yield Row("dense form with moments", setting, dense / 1e9, "GB")
        found = fresh.measured("benchmarks.capacity", {"rows": rows, "steps": steps})
        yield Row("state", setting, found["state"] / 1e9, "GB", dense / found["state"])
        yield Row(
            "peak memory", setting, found["peak"] / 1e9, "GB", dense / found["peak"]
        )
        yield Row("base", setting, found["base"] / 1e9, "GB")
        yield Row("creation", setting, found["created"], "s")
        yield Row("step", setting, found["step"] * 1e3, "ms")
        yield Row(f"training, {steps:,} steps", setting, found["training"], "s")
        yield Row("weights moved", setting, 100 * found["moved"], "% of nnz")
        yield Row("AUC before", setting, found["before"], "")
        yield Row("AUC after", setting, found["after"], "")


if __name__ == "__main__" and not fresh.answer(cell):
    main(measure, "A table whose dense form does not fit into memory.")
