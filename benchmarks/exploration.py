"""Seconds and memory of an exploration: masked and packed tables.

A table [rows, 64] with Adam's two moments and a full recorder (65,536 rows with a
gradient at every position); half of the active weights are asked for (ρ = .5).
Each setting has a process of its own; its second exploration counts, the first one
warms up. `memory` is the most resident memory during it, less that before it.
Ratios are masked to packed.
"""

import time
from collections.abc import Iterator

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks import Row, fresh, main
from dsl_tf.accounting import size
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.layers.exploring import SECOND_MOMENTS, explore_weight
from dsl_tf.sparsity import growth, pruning

WIDTH, RECORDED, RATIO = 64, 65_536, 0.5
SIZES, QUICK_SIZES = (100_000, 1_000_000, 10_000_000), (100_000,)
SPARSITIES, QUICK_SPARSITIES = (0.5, 0.8, 0.9, 0.95), (0.9,)
#: Of the largest table, whose creation alone takes half a minute.
LARGEST_SPARSITIES = (0.95,)
#: A masked table and its moments take 13 bytes a position.
MOST_BYTES = 5e9


def cell(rows: int, storage: str, sparsity: float) -> dict[str, float]:
    """Measure one setting in this process."""
    keras.utils.set_random_seed(0)
    normal = keras.initializers.RandomNormal(stddev=0.01, seed=1)
    layer = SparseEmbedding(rows, WIDTH, sparsity, normal, storage=storage)
    layer(tf.constant([0]))
    (weight,) = layer.own_sparse_weights
    optimizer = keras.optimizers.Adam()
    optimizer.build([weight.values])
    layer.record_gradients(RECORDED)
    layer.record(True)
    assert weight.recorder is not None
    rng = np.random.default_rng(0)
    for _ in range(2):
        used = np.sort(rng.choice(rows, RECORDED, replace=False))
        gradients = rng.normal(size=(RECORDED, WIDTH)).astype(np.float32)
        weight.recorder.add(tf.constant(used), tf.constant(gradients))
        del gradients
        size.release_free()
        size.reset_peak()
        before, start = size.rss_bytes(), time.perf_counter()
        exchange, _ = explore_weight(
            weight,
            [optimizer],
            pruning.magnitude,
            growth.gradient,
            RATIO,
            rng,
            SECOND_MOMENTS["zero"],
        )
        seconds = time.perf_counter() - start
        memory = size.peak_rss_bytes() - before
    return {"seconds": seconds, "memory": memory, "moved": len(exchange.grown)}


def measure(quick: bool) -> Iterator[Row]:
    for rows in QUICK_SIZES if quick else SIZES:
        sparsities = LARGEST_SPARSITIES if rows == max(SIZES) else SPARSITIES
        for sparsity in QUICK_SPARSITIES if quick else sparsities:
            masked: dict[str, float] = {}
            for storage in ("masked", "packed"):
                if storage == "masked" and 13 * rows * WIDTH > MOST_BYTES:
                    continue
                setting = {"rows": rows, "storage": storage, "sparsity": sparsity}
                found = fresh.measured("benchmarks.exploration", setting)
                where = f"{rows:,} x {WIDTH}, s={sparsity}"
                for key, factor, unit in (
                    ("seconds", 1.0, "s"),
                    ("memory", 1e-6, "MB"),
                ):
                    ratio = masked[key] / found[key] if masked else None
                    value = found[key] * factor
                    yield Row(f"{storage}: {key}", where, value, unit, ratio)
                if storage == "packed":
                    yield Row("packed: moved", where, found["moved"], "")
                masked = found


if __name__ == "__main__" and not fresh.answer(cell):
    main(measure, "Seconds and memory of an exploration.")
