"""Positives a second of the training input, against the usual tf.data recipe.

Synthetic interactions with a long tail of items; batches of 8192 positives
with 4 negatives each, drawn for nothing (no model takes them). The usual recipe
shuffles single interactions with `Dataset.shuffle`; its negatives may be
positives. A pipeline is timed after its first batch, epoch by epoch; the best
epoch counts, as other work on the machine only ever makes one slower. CPU is
that of the whole process, for a million positives.
"""

import time
from collections.abc import Iterator

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import numpy as np
import tensorflow as tf

from benchmarks import Row, main
from dsl_tf.data import pipelines
from dsl_tf.data.negatives import UniformNegatives
from dsl_tf.data.positives import EachInteraction
from dsl_tf.types import Interactions, Split, empty_interactions

#: users, items, interactions.
SIZE, QUICK = (30_000, 20_000, 1_000_000), (3_000, 2_000, 100_000)
BATCH, NEGATIVES = 8192, 4
EPOCHS = 6


def synthetic_split(num_users: int, num_items: int, count: int) -> Split:
    """About `count` distinct interactions, with a long tail of items."""
    rng = np.random.default_rng(0)
    items = (num_items * rng.random(count) ** 3).astype(np.int64)
    pairs = np.unique(rng.integers(0, num_users, count) * num_items + items)
    users, items = (x.astype(np.int32) for x in np.divmod(pairs, num_items))
    return Split(
        name="synthetic",
        user_ids=np.arange(num_users).astype(object),
        item_ids=np.arange(num_items).astype(object),
        train=Interactions(users, items),
        validation=empty_interactions(),
        test=empty_interactions(),
    )


def usual(split: Split) -> tf.data.Dataset:
    """Shuffle single interactions, batch, draw any items as negatives."""
    train = split.train

    def batch(user: tf.Tensor, item: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = [tf.size(user), NEGATIVES]
        negatives = tf.random.uniform(shape, maxval=split.num_items, dtype=tf.int32)
        return {"user": user, "item": item, "negatives": negatives}

    return (
        tf.data.Dataset.from_tensor_slices((train.users, train.items))
        .shuffle(len(train))
        .repeat()
        .batch(BATCH, drop_remainder=True)
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def timed(data: tf.data.Dataset, steps: int, epochs: int) -> tuple[float, float]:
    """Positives a second of the best epoch, and CPU seconds a million positives."""
    batches = iter(data)
    next(batches)
    taken = []
    begun = time.process_time()
    for _ in range(epochs):
        start = time.perf_counter()
        for _ in range(steps):
            next(batches)
        taken.append(time.perf_counter() - start)
    used = time.process_time() - begun
    return steps * BATCH / min(taken), 1e6 * used / (epochs * steps * BATCH)


def measure(quick: bool) -> Iterator[Row]:
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)
    split = synthetic_split(*(QUICK if quick else SIZE))
    steps = len(split.train) // BATCH
    setting = f"{len(split.train):,} interactions, batch {BATCH}"
    usual_rate, usual_cpu = timed(usual(split), steps, 1)
    yield Row("usual recipe", setting, usual_rate, "positives/s")
    yield Row("usual recipe, CPU", setting, usual_cpu, "s/M")
    for negatives in (NEGATIVES, 1):
        step = tf.Variable(0, dtype=tf.int64)
        sampler = UniformNegatives(split.train, split.num_users, split.num_items)
        each = EachInteraction(split.train)
        pairs = pipelines.Pairs(split, BATCH, each, sampler, negatives, seed=0)
        data = pairs.dataset(step)
        rate, cpu = timed(data, steps, EPOCHS)
        name = f"pairs, {negatives} negative{'s' * (negatives > 1)}"
        yield Row(name, setting, rate, "positives/s", rate / usual_rate)
        yield Row(f"{name}, CPU", setting, cpu, "s/M", usual_cpu / cpu)


if __name__ == "__main__":
    main(measure, "Positives a second of the training input.")
