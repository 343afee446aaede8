"""The 80/20 split of the data sets whose source brings none.

Tables name it "dsl_tf split, seed 2024": numbers on it cannot be compared
with published ones.
"""

import pathlib

import numpy as np

from dsl_tf.data import adjacency
from dsl_tf.data.interactions import compact, merge_duplicates
from dsl_tf.types import Dataset, Interactions

LABEL = "dsl_tf split, seed 2024"


def split(interactions: Interactions) -> tuple[Interactions, Interactions]:
    """Training and test interactions by the rule of the published files.

    Users in ascending id draw from one generator of seed 2024: each user's
    ascending items are permuted and the first max(1, int(0.2 n)) are test.

    Args:
      interactions: sorted by user, then item, without duplicates.

    Returns:
      Training and test interactions, both sorted.
    """
    rng = np.random.default_rng(2024)
    is_test = np.zeros(len(interactions), bool)
    ends = np.cumsum(np.bincount(interactions.users))
    for start, end in zip(np.append(0, ends[:-1]), ends, strict=True):
        # The permutation of the positions is the permutation of the items.
        n = int(end - start)
        is_test[start + rng.permutation(n)[: max(1, int(0.2 * n))]] = True
    return interactions.take(~is_test), interactions.take(is_test)


def published(root: pathlib.Path | None, folder: str, name: str) -> Dataset | None:
    """The split's own files, `train.txt` and `test.txt`, where they are there."""
    if root is None or not adjacency.has_split(root / folder):
        return None
    return adjacency.load_folder(root / folder, name, LABEL)


def rebuilt(
    interactions: Interactions, user_ids: np.ndarray, item_ids: np.ndarray, name: str
) -> Dataset:
    """The same data set from sorted raw interactions."""
    train, test = split(interactions)
    return Dataset(name, user_ids, item_ids, train, test, split_label=LABEL)


def rebuilt_from_lists(path: pathlib.Path, min_items: int, name: str) -> Dataset:
    """The same data set from `users.dat` (`count item item ...` lines).

    Args:
      path: the file, plain or gzip.
      min_items: users with fewer different items are left out.
      name: of the data set.
    """
    raw = adjacency.with_ids(
        {"train": adjacency.read_counted(path)}, path.parent, name, LABEL
    )
    pairs = merge_duplicates(raw).train
    enough = np.bincount(pairs.users) >= min_items
    kept = compact(
        Dataset(name, raw.user_ids, raw.item_ids, pairs.take(enough[pairs.users]))
    )
    return rebuilt(kept.train, kept.user_ids, kept.item_ids, name)
