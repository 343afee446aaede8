"""The embedded data set: generated, seeded, no file and no network.

Latent factors times long-tail popularity, for long-tailed users: popularity
is worth something and a factor model clearly more.
"""

import pathlib

import numpy as np

from dsl_tf.types import Dataset, Interactions

NUM_USERS, NUM_ITEMS = 2_000, 1_500
NUM_FACTORS = 8
#: Weight of the factors beside popularity and noise: chosen so that EASE
#: reaches about twice the Recall@20 of popularity.
TASTE = 0.8
SEED = 2024


def load(root: pathlib.Path | None = None) -> Dataset:
    """Generates the data set, the same on every call.

    User u takes the n_u items of highest
    `TASTE * (factors_u . factors_i) + popularity_i + Gumbel noise`, which is
    sampling without replacement from a softmax over the items.

    Args:
      root: not used; every data set's `load` has it.
    """
    del root
    rng = np.random.default_rng(SEED)
    users = rng.standard_normal((NUM_USERS, NUM_FACTORS))
    items = rng.standard_normal((NUM_ITEMS, NUM_FACTORS))
    popularity = rng.permutation(-1.1 * np.log(np.arange(5, 5 + NUM_ITEMS)))
    activity = np.clip(37.5 * rng.lognormal(0, 0.75, NUM_USERS), 8, 400).astype(int)
    scores = popularity + rng.gumbel(size=(NUM_USERS, NUM_ITEMS))
    # Summed in a fixed order: a matrix product differs from machine to machine.
    for user, item in zip(users.T, items.T, strict=True):
        scores += TASTE * user[:, None] * item
    # Rounded, so that the last bit of a logarithm decides nothing.
    ranking = np.argsort(-np.round(scores, 6), axis=1, kind="stable")
    chosen = np.arange(NUM_ITEMS) < activity[:, None]
    return Dataset(
        "demo",
        np.array([f"user-{row:04d}" for row in range(NUM_USERS)], dtype=object),
        np.array([f"item-{row:04d}" for row in range(NUM_ITEMS)], dtype=object),
        Interactions(
            np.repeat(np.arange(NUM_USERS, dtype=np.int32), activity),
            ranking[chosen].astype(np.int32),
        ),
    )
