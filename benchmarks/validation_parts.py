"""How near held-out items are to training, for validation parts and the test part.

Of each held-out item of 1,500 users: its rank among the items that are new to the
user by the number of paths user -> item -> user -> item in the training graph. A
validation part is a good stand-in for the test if its shares are like the test's. On
the published splits of Gowalla and Yelp2018 (from `DSL_TF_DATA`; generated
interactions without it).
"""

import os
from collections.abc import Iterator

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import numpy as np

from benchmarks import Row, main
from benchmarks.evaluation import synthetic_split
from dsl_tf import config_files, data
from dsl_tf.types import Interactions, Split

USERS, RANKS = 1500, (20, 100, 1000)


def splits(quick: bool) -> Iterator[tuple[str, str, Split]]:
    """Data set, way of validation, and split."""
    if quick or not os.environ.get("DSL_TF_DATA"):
        yield "generated", "random", synthetic_split(2000, 3000, 30)
        return
    for name in ("gowalla", "yelp2018"):
        for way in ("random", "latest"):
            config = config_files.load(config_files.find("mf.py"), name)
            config.data.validation = way
            yield name, way, data.load_split(config.data)


def ranks(split: Split, part: Interactions) -> np.ndarray:
    """Ranks from 0 of the held-out items of some users, best first."""
    known = split.train.csr(split.num_users, split.num_items)
    held_out = part.csr(split.num_users, split.num_items)
    rng = np.random.default_rng(0)
    users = rng.choice(split.num_users, min(USERS, split.num_users), replace=False)
    found = []
    for user in users:
        near = known[user] @ known.T
        paths = np.asarray((near @ known).todense()).ravel()
        paths[known[user].indices] = -1
        for item in held_out[user].indices:
            found.append(np.count_nonzero(paths > paths[item]))
    return np.array(found)


def measure(quick: bool) -> Iterator[Row]:
    for name, way, split in splits(quick):
        popularity = split.popularity()
        parts = {f"{way} validation": split.validation, "test": split.test}
        for label, part in parts.items():
            if not len(part):
                continue
            places = ranks(split, part)
            for rank in RANKS:
                share = float((places < rank).mean())
                yield Row(f"{label}: in the first {rank}", name, share, "share")
            mean = float(popularity[part.items].mean())
            yield Row(f"{label}: popularity", name, mean, "interactions")


if __name__ == "__main__":
    main(measure, "How near held-out items are to training.")
