"""Seconds of a full-ranking evaluation, against a NumPy loop over users.

Synthetic dot-product models and interactions at the sizes of MovieLens-1M, Gowalla
and Yelp2018. `scoring` is the part no evaluator can avoid: all scores, in the same
batches, thrown away. The loop scores, masks, partitions and counts one user at
a time; it is timed on a sample of users and scaled up.
"""

import time
from collections.abc import Callable, Iterator

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import numpy as np
import tensorflow as tf

from benchmarks import Row, main
from dsl_tf.evaluation import protocols, ranking, references
from dsl_tf.types import Interactions, Split, empty_interactions

#: name, users, items, interactions a user (a fifth of them held out).
SIZES = (
    ("ml-1m", 6040, 3706, 165),
    ("gowalla", 29858, 40981, 34),
    ("yelp2018", 31668, 38048, 49),
)
QUICK = (("quick", 1000, 2000, 50),)
DIM = 64
CUTOFF = 20
SAMPLE = 300


def synthetic_split(num_users: int, num_items: int, per_user: int) -> Split:
    """Interactions with a long tail of items, a fifth of each user's for test."""
    rng = np.random.default_rng(0)
    items = (num_items * rng.random((num_users, per_user)) ** 3).astype(np.int64)
    users = np.arange(num_users)[:, None]
    pairs = rng.permutation(np.unique(users * num_items + items))
    test = np.sort(pairs[: len(pairs) // 5])
    train = np.sort(pairs[len(pairs) // 5 :])

    def interactions(pairs: np.ndarray) -> Interactions:
        users, items = np.divmod(pairs, num_items)
        return Interactions(users.astype(np.int32), items.astype(np.int32))

    return Split(
        name="synthetic",
        user_ids=np.arange(num_users).astype(str).astype(object),
        item_ids=np.arange(num_items).astype(str).astype(object),
        train=interactions(train),
        validation=empty_interactions(),
        test=interactions(test),
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def loop_over_users(users: np.ndarray, items: np.ndarray, split: Split) -> float:
    """Mean recall of `SAMPLE` users by plain NumPy, one after the other."""
    known = split.train.csr(split.num_users, split.num_items)
    held_out = split.test.csr(split.num_users, split.num_items)
    recalls = []
    for user in range(SAMPLE):
        scores = items @ users[user]
        scores[known[user].indices] = -np.inf
        top = np.argpartition(-scores, CUTOFF)[:CUTOFF]
        top = top[np.argsort(-scores[top])]
        wanted = held_out[user].indices
        recalls.append(np.isin(top, wanted).sum() / max(1, len(wanted)))
    return float(np.mean(recalls))


def score_everything(score: ranking.Score, split: Split) -> None:
    step = tf.function(
        lambda users: tf.reduce_max(score(users)),
        input_signature=[tf.TensorSpec([None], tf.int32)],
    )
    batch = ranking.batch_size(split.num_items)
    for start in range(0, split.num_users, batch):
        stop = min(start + batch, split.num_users)
        step(np.arange(start, stop, dtype=np.int32)).numpy()


def measure(quick: bool) -> Iterator[Row]:
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)
    for name, num_users, num_items, per_user in QUICK if quick else SIZES:
        setting = f"{name} {num_users:,} x {num_items:,} d={DIM}"
        split = synthetic_split(num_users, num_items, per_user)
        rng = np.random.default_rng(1)
        users = rng.normal(size=(num_users, DIM)).astype(np.float32)
        items = rng.normal(size=(num_items, DIM)).astype(np.float32)
        user_table, item_table = tf.constant(users), tf.constant(items)

        def dot_product(
            ids: tf.Tensor, users: tf.Tensor = user_table, items: tf.Tensor = item_table
        ) -> tf.Tensor:
            return tf.matmul(tf.gather(users, ids), items, transpose_b=True)

        def evaluate(
            protocol: str, score: ranking.Score, split: Split = split
        ) -> Callable[[], object]:
            found = protocols.find(protocol)
            return lambda: found.evaluate(score, split, "test", (CUTOFF,), seed=0)

        evaluate("full_ranking(users=1)", dot_product)()  # warms TensorFlow up
        popularity = references.same_for_all(
            references.popularity_scores(split.train, split.num_items)
        )
        sample = seconds(lambda: loop_over_users(users, items, split))  # noqa: B023
        loop = sample * num_users / SAMPLE
        yield Row("loop over users", setting, loop, "s")
        scoring = seconds(lambda: score_everything(dot_product, split))  # noqa: B023
        yield Row("scoring", setting, scoring, "s", loop / scoring)
        for row, protocol, score in (
            ("full_ranking", "full_ranking", dot_product),
            ("full_ranking, popularity", "full_ranking", popularity),
            ("leave_one_out_sampled", "leave_one_out_sampled", dot_product),
        ):
            taken = seconds(evaluate(protocol, score))
            yield Row(row, setting, taken, "s", loop / taken)


if __name__ == "__main__":
    main(measure, "Seconds of an evaluation.")
