"""What is done to interactions before they are split.

The steps come in this order, each a pure function from `Dataset` to `Dataset`:
`merge_duplicates`, `keep_rated` (threshold), `keep_core` (k-core) and
`compact` (rows of users and items that are gone are taken out).
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Interactions


def pair_keys(interactions: Interactions, num_items: int) -> np.ndarray:
    """One number for each (user, item) pair, ordered by user, then item.

    Returns:
      int64 [n]: `user * num_items + item`.
    """
    return interactions.users.astype(np.int64) * num_items + interactions.items


def unique_pairs(interactions: Interactions, num_items: int) -> Interactions:
    """Interactions sorted by user, then item, each pair once.

    Of several the latest stays and, where times are equal or missing, the one
    with the highest rating; else the one whose place is the last. But for a source
    with places, the answer does not depend on the order of rows.
    """
    keys = pair_keys(interactions, num_items)
    if np.all(keys[1:] > keys[:-1]):
        return interactions
    tie_breakers = [
        values
        for values in (
            interactions.places,
            interactions.ratings,
            interactions.times,
        )
        if values is not None
    ]
    order = np.lexsort((*tie_breakers, keys))
    keys = keys[order]
    last = np.append(keys[1:] != keys[:-1], True)
    return interactions.take(order[last])


def without(
    interactions: Interactions, others: Interactions, num_items: int
) -> Interactions:
    """The interactions whose pair is not among `others` (sorted)."""
    if not len(others):
        return interactions
    found = positions(interactions, others, num_items)
    return interactions.take(found < 0) if (found >= 0).any() else interactions


def positions(
    interactions: Interactions, others: Interactions, num_items: int
) -> np.ndarray:
    """Where each pair stands in `others` (sorted, not empty); -1 = not there."""
    keys, known = pair_keys(interactions, num_items), pair_keys(others, num_items)
    rows = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[rows] == keys, rows, -1)


def concatenate(parts: list[Interactions]) -> Interactions:
    """All parts in one; a column that one of them lacks is dropped.

    Places go too where there are several: they are those of one file.
    """
    if len(parts) == 1:
        return parts[0]

    def column(name: str) -> np.ndarray | None:
        columns = [getattr(part, name) for part in parts]
        return None if any(c is None for c in columns) else np.concatenate(columns)

    return Interactions(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.items for part in parts]),
        column("ratings"),
        column("times"),
    )


def parts(dataset: Dataset) -> list[Interactions]:
    """Training, validation and test interactions, those that there are."""
    return [
        part
        for part in (dataset.train, dataset.validation, dataset.test)
        if part is not None
    ]


def _on_each_part(
    dataset: Dataset, function: Callable[[Interactions], Interactions]
) -> Dataset:
    """Applies a function to the parts that there are, in the order of `parts`."""
    validation, test = dataset.validation, dataset.test
    return dataclasses.replace(
        dataset,
        train=function(dataset.train),
        validation=None if validation is None else function(validation),
        test=None if test is None else function(test),
    )


def keep_rated(dataset: Dataset, min_rating: float) -> Dataset:
    """Keeps interactions with at least this rating; 0 keeps all.

    Raises:
      UserError: the source has no ratings, or none is high enough.
    """
    if not min_rating:
        return dataset

    def rated(part: Interactions) -> Interactions:
        if part.ratings is None:
            raise UserError(
                "`data.min_rating` needs a source with ratings. Received: "
                f"min_rating={min_rating} for {dataset.name!r}, which has none."
            )
        return part.take(part.ratings >= min_rating)

    kept = _on_each_part(dataset, rated)
    if not len(kept.train):
        raise UserError(
            "`data.min_rating` must leave training interactions. Received: "
            f"min_rating={min_rating} for {dataset.name!r}."
        )
    return kept


def merge_duplicates(dataset: Dataset) -> Dataset:
    """Sorts each part by user, then item, and leaves each pair once."""
    merged = _on_each_part(
        dataset, lambda part: unique_pairs(part, len(dataset.item_ids))
    )
    lost = sum(map(len, parts(dataset))) - sum(map(len, parts(merged)))
    return with_warning(merged, lost, "duplicate interactions were merged")


def core_mask(users: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """Bool [n]: the k-core, every user and every item with k interactions.

    Args:
      users: int [n] row numbers.
      items: int [n] row numbers.
      k: the least number of interactions of a user and of an item.
    """
    mask = np.ones(len(users), bool)
    left = len(users)
    while left:
        user_is_kept = np.bincount(users[mask], minlength=users.max() + 1) >= k
        item_is_kept = np.bincount(items[mask], minlength=items.max() + 1) >= k
        mask &= user_is_kept[users] & item_is_kept[items]
        before, left = left, int(mask.sum())
        if left == before:
            break
    return mask


def keep_core(dataset: Dataset, k: int) -> Dataset:
    """Keeps the k-core of all interactions, whatever part they are in.

    Raises:
      UserError: nothing is left.
    """
    if k <= 1:
        return dataset
    everything = concatenate(parts(dataset))
    mask = core_mask(everything.users, everything.items, k)
    lengths = [len(part) for part in parts(dataset)]
    masks = iter(np.split(mask, np.cumsum(lengths)[:-1]))
    kept = _on_each_part(dataset, lambda part: part.take(next(masks)))
    if not len(kept.train):
        raise UserError(
            "`data.k_core` must leave training interactions. Received: "
            f"k_core={k} for {dataset.name!r}."
        )
    return kept


def compact(dataset: Dataset) -> Dataset:
    """Takes out the rows of users and items without any interaction.

    Fixed candidates are dropped: they may name items that are gone.
    """
    everything = concatenate(parts(dataset))
    users = np.flatnonzero(np.bincount(everything.users))
    items = np.flatnonzero(np.bincount(everything.items))

    def renumbered(part: Interactions) -> Interactions:
        return dataclasses.replace(
            part,
            users=np.searchsorted(users, part.users).astype(np.int32),
            items=np.searchsorted(items, part.items).astype(np.int32),
        )

    return dataclasses.replace(
        _on_each_part(dataset, renumbered),
        user_ids=dataset.user_ids[users],
        item_ids=dataset.item_ids[items],
        candidates=None,
    )


def with_warning(dataset: Dataset, count: int, what: str) -> Dataset:
    """Adds the line "`count` `what`." where the count is not zero."""
    if not count:
        return dataset
    return dataclasses.replace(
        dataset, warnings=(*dataset.warnings, f"{count:,} {what}.")
    )
