"""Milliseconds of a training step of a whole backbone, by storage.

NeuMF with the values of `configs/neumf.py:ml-1m` on generated interactions of
MovieLens-1M's size: batches of 2048 positives with 8 negatives, the input pipeline
and the recording of gradients included, explorations not. At 10,000 rows the
network and the batch weigh more than the tables. Each setting runs in a process of
its own, all of them twice; the better median of the two counts. Ratios are those of
the dense tables with the same optimiser to the row's own: above 1 is faster.
"""

import statistics
from collections.abc import Iterator

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import tensorflow as tf
import tf_keras as keras

from benchmarks import Row, fresh, main
from benchmarks.evaluation import synthetic_split
from benchmarks.train_step import Seconds
from dsl_tf import config_files
from dsl_tf.methods import base, dense, dsl

USERS, ITEMS, PER_USER = 6040, 3706, 150
STEPS, QUICK_STEPS, WARM = 80, 30, 10
ROUNDS = 2
#: Name, method's tables, storage, sparsity.
FORMS = (
    ("dense", "dense", "", 0.0),
    ("masked 0.5", "dsl", "masked", 0.5),
    ("packed 0.5", "dsl", "packed", 0.5),
    ("packed 0.8", "dsl", "packed", 0.8),
    ("packed 0.9", "dsl", "packed", 0.9),
)


def cell(
    method: str, storage: str, sparsity: float, optimizer: str, steps: int
) -> dict[str, float]:
    """Measure one setting in this process."""
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)
    config = config_files.load(config_files.find("neumf.py"), "ml-1m")
    config.optimizer.name = optimizer
    config.storage, config.sparsity.target = storage, sparsity
    split = synthetic_split(USERS, ITEMS, PER_USER)
    tables = {"dense": dense, "dsl": dsl}[method].make_tables(config, split, 0)
    model, batches = base.make_model(split, config, tables, 0)
    seconds = Seconds()
    callbacks: list[keras.callbacks.Callback] = [seconds]
    if method == "dsl":
        callbacks.append(dsl.make_dynamic(config, 100 * steps, 0))
    begun = tf.Variable(0, dtype=tf.int64, trainable=False)
    model.fit(
        batches.dataset(begun), steps_per_epoch=steps, verbose=0, callbacks=callbacks
    )
    return {"step": statistics.median(seconds.between()[WARM:])}


def measure(quick: bool) -> Iterator[Row]:
    steps = QUICK_STEPS if quick else STEPS
    settings = [
        (optimizer, *form) for optimizer in ("adam", "lazy_adam") for form in FORMS
    ]
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(1 if quick else ROUNDS):
        for optimizer, name, method, storage, sparsity in settings:
            setting = {
                "method": method,
                "storage": storage,
                "sparsity": sparsity,
                "optimizer": optimizer,
                "steps": steps,
            }
            step = fresh.measured("benchmarks.backbones", setting)["step"]
            found.setdefault((optimizer, name), []).append(step)
    for (optimizer, name), times in found.items():
        step, reference = min(times), min(found[optimizer, "dense"])
        ratio = None if name == "dense" else reference / step
        setting = f"neumf, {USERS:,} + {ITEMS:,} rows, {optimizer}"
        yield Row(f"{name}: step", setting, step * 1e3, "ms", ratio)


if __name__ == "__main__" and not fresh.answer(cell):
    main(measure, "Milliseconds of a backbone's training step.")
