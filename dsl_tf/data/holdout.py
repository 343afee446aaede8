"""Which interactions to hold out: seeded, vectorised choices.

Each function returns a bool [n] mask over its input: True = held out. All of
them need interactions sorted by user, then item (`interactions.unique_pairs`),
so that the answer does not depend on the order of rows in a file.
"""

import numpy as np

from dsl_tf.errors import UserError
from dsl_tf.types import Interactions


def test_counts(counts: np.ndarray, fraction: float) -> np.ndarray:
    """Items to hold out for the test of users with `counts` items.

    floor(fraction * n + 0.5), at least 1 and at most n - 1: a user with one
    item keeps it for training.
    """
    wanted = np.maximum(_rounded(counts, fraction), 1)
    return np.minimum(wanted, np.maximum(counts - 1, 0))


def validation_counts(counts: np.ndarray, fraction: float) -> np.ndarray:
    """Items to carve from the training items of users with `counts` of them.

    floor(fraction * n + 0.5), at least 1 where n >= 3 and none where n < 3;
    every user keeps a training item.
    """
    if not fraction:
        return np.zeros_like(counts)
    wanted = np.maximum(_rounded(counts, fraction), 1)
    return np.where(counts >= 3, np.minimum(wanted, counts - 1), 0)


def _rounded(counts: np.ndarray, fraction: float) -> np.ndarray:
    return np.floor(fraction * counts + 0.5).astype(counts.dtype)


def random_per_user(
    interactions: Interactions, held_out: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Holds out `held_out[user]` random interactions of each user.

    Args:
      interactions: n, sorted by user, then item.
      held_out: int [num_users].
      rng: the stream to draw from; n numbers are drawn.
    """
    return _first_of_each_user(interactions, held_out, (rng.random(len(interactions)),))


def latest_per_user(
    interactions: Interactions, held_out: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Holds out the latest `held_out[user]` interactions of each user.

    Equal times are ordered at random. Without times the choice is random.
    """
    if interactions.times is None:
        return random_per_user(interactions, held_out, rng)
    ties = rng.random(len(interactions))
    return _first_of_each_user(interactions, held_out, (ties, -interactions.times))


def last_per_user(interactions: Interactions, held_out: np.ndarray) -> np.ndarray:
    """Holds out the `held_out[user]` interactions of each user that stand last.

    Raises:
      UserError: the order of the source is not known.
    """
    if interactions.places is None:
        raise UserError(
            "`data.validation=latest` needs a source with times, or one in adjacency "
            "lists, whose order counts. Received: neither."
        )
    return _first_of_each_user(interactions, held_out, (-interactions.places,))


def latest(
    interactions: Interactions, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Holds out the latest floor(fraction * n + 0.5) of all interactions.

    Equal times are ordered at random.

    Raises:
      UserError: the interactions have no times.
    """
    if interactions.times is None:
        raise UserError(
            "`data.split='temporal'` needs a source with times. Received: none "
            "(see `data.time_column`)."
        )
    n = len(interactions)
    order = np.lexsort((rng.random(n), interactions.times))
    mask = np.zeros(n, bool)
    mask[order[n - int(np.floor(fraction * n + 0.5)) :]] = True
    return mask


def _first_of_each_user(
    interactions: Interactions, held_out: np.ndarray, keys: tuple[np.ndarray, ...]
) -> np.ndarray:
    """Marks the `held_out[user]` interactions of least key; last key first."""
    users = interactions.users
    counts = np.bincount(users, minlength=len(held_out))
    # `users` is sorted, so sorting by it last leaves each user in its place.
    order = np.lexsort((*keys, users))
    rank = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    mask = np.empty(len(users), bool)
    mask[order] = rank < held_out[users]
    return mask
