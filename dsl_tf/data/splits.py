"""Training, validation and test parts of a data set."""

import dataclasses
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from dsl_tf import streams
from dsl_tf.data import holdout, strong_generalization
from dsl_tf.data import interactions as steps
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Interactions, Split

WAYS = (
    "auto",
    "given",
    "ratio",
    "leave_one_out",
    "temporal",
    "strong_generalization",
)
VALIDATIONS = ("random", "latest")


class _Parts(NamedTuple):
    train: Interactions
    validation: Interactions | None
    test: Interactions


def check(config: ConfigDict) -> None:
    """Checks the keys of a split, and `k_core`.

    Raises:
      UserError: an unknown way, a number out of range, or a way of validation that
        the split has no use for.
    """
    if config.split not in WAYS:
        raise UserError(
            f"`data.split` must be one of {', '.join(WAYS)}. Received: "
            f"split={config.split!r}."
        )
    if config.validation not in VALIDATIONS:
        raise UserError(
            f"`data.validation` must be one of {', '.join(VALIDATIONS)}. Received: "
            f"validation={config.validation}."
        )
    if not 0 < config.test_fraction < 1:
        raise UserError(
            "`data.test_fraction` must be in (0, 1). Received: "
            f"test_fraction={config.test_fraction}."
        )
    if not 0 <= config.validation_fraction < 1:
        raise UserError(
            "`data.validation_fraction` must be in [0, 1). Received: "
            f"validation_fraction={config.validation_fraction}."
        )
    if config.split == "strong_generalization" and not (
        0 < config.validation_fraction < 0.5
    ):
        raise UserError(
            "`data.validation_fraction` must be in (0, 0.5) for "
            "`data.split=strong_generalization`, which holds out that share of the "
            "users twice. Received: "
            f"validation_fraction={config.validation_fraction}."
        )
    if config.split == "strong_generalization" and config.validation == "latest":
        raise UserError(
            "`data.validation` must be random for `data.split=strong_generalization`, "
            "which holds out whole users. Received: validation=latest."
        )
    if config.k_core < 0:
        raise UserError(
            f"`data.k_core` must be at least 0. Received: k_core={config.k_core}."
        )
    if config.seed < 0:
        raise UserError(
            f"`data.seed` must be at least 0. Received: seed={config.seed}."
        )


def split_dataset(dataset: Dataset, config: ConfigDict) -> Split:
    """Splits a data set whose parts are sorted and free of duplicates.

    A split that comes with the source is used as given, or, where another way is
    asked for, dissolved. Validation is carved from training where the source
    brings none: at random, or the latest ones where the test split is by time or
    `validation` says so (`holdout.validation_counts` of each user; one each where the
    test part is one each). The way `strong_generalization` holds out users, not items
    of each.

    Args:
      dataset: as `loading.filtered` returns it.
      config: `split`, `test_fraction`, `validation`, `validation_fraction` and
        `seed`.

    Raises:
      UserError: the source lacks what the split needs.
    """
    way = config.split
    if way == "auto":
        way = "ratio" if dataset.test is None else "given"
    warnings = list(dataset.warnings)
    if way == "strong_generalization":
        everything = _together(dataset, warnings)
        split = strong_generalization.split_users(dataset, everything, config)
    else:
        split = _split_items(dataset, way, config, warnings)
    if not len(split.train) or not len(split.test):
        raise UserError(
            "A split must have training and test interactions. Received: "
            f"{len(split.train)} and {len(split.test)} in {dataset.name!r}."
        )
    return dataclasses.replace(split, warnings=(*warnings, *split.warnings))


def _split_items(
    dataset: Dataset, way: str, config: ConfigDict, warnings: list[str]
) -> Split:
    """A split that holds out some items of every user."""
    if way == "given":
        label, candidates = dataset.split_label, dataset.candidates
        parts = _given(dataset, warnings)
    else:
        parts = _anew(dataset, way, config, warnings)
        at_random = way == "leave_one_out" and parts.train.times is None
        if at_random:
            warnings.append("Without times, the item left out of each is a random one.")
        label, candidates = _label(config, f"{'random ' * at_random}{way}"), None
    train, validation, test = parts
    if validation is None or not len(validation):
        # NCF's files hold out one item of each user; so does validation then.
        one_each = way == "leave_one_out" or candidates is not None
        by_time = way in ("leave_one_out", "temporal")
        mask = _carved(train, len(dataset.user_ids), one_each, by_time, config)
        train, validation = train.take(~mask), train.take(mask)
    elif config.validation == "latest":
        warnings.append(
            "The source brings its validation part: `data.validation=latest` has no "
            "effect."
        )
    split = Split(
        dataset.name,
        dataset.user_ids,
        dataset.item_ids,
        train,
        validation,
        test,
        candidates,
        label,
    )
    return dataclasses.replace(split, warnings=untidy(split))


def _label(config: ConfigDict, way: str) -> str:
    share = "" if way.endswith("leave_one_out") else f" {config.test_fraction:g}"
    return f"dsl_tf {way}{share} split, seed {config.seed}"


def _given(dataset: Dataset, warnings: list[str]) -> _Parts:
    """The parts of the source; a pair in two of them stays in one.

    It stays in train before test, and in test before validation.
    """
    if dataset.test is None:
        raise UserError(
            "`data.split='given'` needs a source with a test part. Received: "
            f"{dataset.name!r}, which has none."
        )
    num_items = len(dataset.item_ids)
    test = steps.without(dataset.test, dataset.train, num_items)
    if lost := len(dataset.test) - len(test):
        warnings.append(f"{lost:,} pairs in both train and test left test.")
    validation = dataset.validation
    if validation is not None:
        before = len(validation)
        validation = steps.without(validation, dataset.train, num_items)
        validation = steps.without(validation, test, num_items)
        if lost := before - len(validation):
            warnings.append(f"{lost:,} pairs in another part too left validation.")
    return _Parts(dataset.train, validation, test)


def _anew(
    dataset: Dataset, way: str, config: ConfigDict, warnings: list[str]
) -> _Parts:
    """Splits all interactions, whatever part of the source they are in."""
    everything = _together(dataset, warnings)
    counts = np.bincount(everything.users, minlength=len(dataset.user_ids))
    rng = streams.generator(config.seed, "test split")
    if way == "temporal":
        mask = holdout.latest(everything, config.test_fraction, rng)
    elif way == "leave_one_out":
        one_each = (counts >= 2).astype(np.int64)
        mask = holdout.latest_per_user(everything, one_each, rng)
    else:
        held_out = holdout.test_counts(counts, config.test_fraction)
        mask = holdout.random_per_user(everything, held_out, rng)
    return _Parts(everything.take(~mask), None, everything.take(mask))


def _together(dataset: Dataset, warnings: list[str]) -> Interactions:
    """All interactions of all parts, sorted, each pair once."""
    together = steps.concatenate(steps.parts(dataset))
    everything = steps.unique_pairs(together, len(dataset.item_ids))
    if lost := len(together) - len(everything):
        warnings.append(f"{lost:,} pairs in two parts of the source were merged.")
    return everything


def _carved(
    train: Interactions,
    num_users: int,
    one_each: bool,
    by_time: bool,
    config: ConfigDict,
) -> np.ndarray:
    """Bool [n]: the training interactions that become validation."""
    counts = np.bincount(train.users, minlength=num_users)
    held_out = holdout.validation_counts(counts, config.validation_fraction)
    if one_each:
        held_out = np.minimum(held_out, 1)
    latest = config.validation == "latest"
    if latest and train.times is None:
        return holdout.last_per_user(train, held_out)
    choose = holdout.latest_per_user if by_time or latest else holdout.random_per_user
    return choose(train, held_out, streams.generator(config.seed, "validation split"))


def untidy(split: Split) -> tuple[str, ...]:
    """Counted lines about users and items that are cold in one of the parts."""

    def users(part: Interactions) -> np.ndarray:
        return np.bincount(part.users, minlength=split.num_users) > 0

    def items(part: Interactions) -> np.ndarray:
        return np.bincount(part.items, minlength=split.num_items) > 0

    train, validation, test = split.train, split.validation, split.test
    active = users(train) | users(validation) | users(test)
    findings = (
        (users(test) & ~users(train), "test users have no training items"),
        (
            users(validation) & ~users(train),
            "validation users have no training items",
        ),
        (active & ~users(test), "users have no test items"),
        (items(test) & ~items(train) & ~items(validation), "items occur only in test"),
    )
    return tuple(
        f"{np.count_nonzero(found):,} {what}."
        for found, what in findings
        if found.any()
    )
