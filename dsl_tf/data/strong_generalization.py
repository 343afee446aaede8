"""Whole users held out: a model is asked about people it was not trained on.

Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018,
sec. 4.1; the idea and the name: Marlin, "Collaborative Filtering: A Machine
Learning Perspective", 2004.
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from dsl_tf import streams
from dsl_tf.data import holdout
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Interactions, Split

#: What becomes of a user.
_TRAIN, _VALIDATION, _TEST = range(3)


def split_users(
    dataset: Dataset, everything: Interactions, config: ConfigDict
) -> Split:
    """Splits users 80/10/10, and the items of those held out 80/20.

    The vocabulary is the items of training users. A held-out user with one item
    in it keeps that as fold-in and is not evaluated.

    Args:
      dataset: brings the ids.
      everything: all interactions, sorted by user, then item.
      config: `validation_fraction`, the share of users held out for validation,
        and as many again for the test; `test_fraction`, the share of their items
        held out, the rest being the fold-in; `seed`.

    Returns:
      A split with `fold_in`. All users keep their rows.

    Raises:
      UserError: too few users.
    """
    kinds = _kinds(everything, len(dataset.user_ids), config)
    kind = kinds[everything.users]
    kept = np.bincount(
        everything.items[kind == _TRAIN], minlength=len(dataset.item_ids)
    ).astype(bool)
    known = kept[everything.items]
    everything, kind = everything.take(known), kind[known]
    rows = (np.cumsum(kept) - 1).astype(np.int32)
    everything = dataclasses.replace(everything, items=rows[everything.items])

    counts = np.bincount(everything.users, minlength=len(kinds))
    counts = np.where(kinds == _TRAIN, 0, counts)
    held_out = holdout.test_counts(counts, config.test_fraction)
    rng = streams.generator(config.seed, "fold-in")
    asked = holdout.random_per_user(everything, held_out, rng)
    found = (
        (~kept, "items occur with held-out users only and left the vocabulary"),
        ((kinds != _TRAIN) & (held_out == 0), "held-out users have no item to ask for"),
    )
    return Split(
        dataset.name,
        dataset.user_ids,
        dataset.item_ids[kept],
        train=everything.take(kind == _TRAIN),
        validation=everything.take(asked & (kind == _VALIDATION)),
        test=everything.take(asked & (kind == _TEST)),
        fold_in=everything.take(~asked & (kind != _TRAIN)),
        label=(
            "dsl_tf strong_generalization "
            f"{config.validation_fraction:g}/{config.test_fraction:g} split, "
            f"seed {config.seed}"
        ),
        warnings=tuple(
            f"{np.count_nonzero(these):,} {what}."
            for these, what in found
            if these.any()
        ),
    )


def _kinds(everything: Interactions, num_users: int, config: ConfigDict) -> np.ndarray:
    """Int [num_users]: who is trained on, who validates and who tests."""
    users = np.unique(everything.users)
    share = config.validation_fraction
    each = max(1, int(np.floor(share * len(users) + 0.5)))
    if len(users) <= 2 * each:
        raise UserError(
            "`data.split=strong_generalization` must leave users to train on. "
            f"Received: {len(users)} users, 2 x {each} of them held out."
        )
    shuffled = streams.generator(config.seed, "held-out users").permutation(users)
    kinds = np.full(num_users, _TRAIN)
    kinds[shuffled[:each]] = _VALIDATION
    kinds[shuffled[each : 2 * each]] = _TEST
    return kinds
