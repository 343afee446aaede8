"""From the config's `data` node to a `Split`: read, filter, split."""

import dataclasses
import os
import pathlib

import numpy as np
from ml_collections import ConfigDict

from dsl_tf import plugins
from dsl_tf.data import interactions as steps
from dsl_tf.data import files, splits
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Interactions, Split

SPLITS = ("auto", "given", "ratio", "leave_one_out", "temporal")


def load_split(config: ConfigDict) -> Split:
    """Loads, filters and splits the interactions that a config names.

    A split that comes with the source is used as given; a validation part is
    carved from training where the source brings none (one rule for all:
    `splits.validation_counts`). What is untidy but not wrong becomes one
    counted line each in `Split.warnings`; nothing is printed.

    Args:
      config: the `data` node: `path` (wins over `name`), `name`, `root`
        (else the variable DSL_TF_DATA), `user_column`, `item_column`,
        `rating_column`, `time_column`, `separator`, `min_rating`, `k_core`,
        `split`, `test_fraction`, `validation_fraction`, `seed`.

    Raises:
      UserError: a wrong key, or a file that is missing or wrong.
    """
    _check(config)
    if config.path:
        dataset = files.load(pathlib.Path(config.path).expanduser(), config)
    else:
        source = plugins.find("dsl_tf.data.datasets", config.name, "data set")
        dataset = source.load(data_root(config.root))
    dataset = filtered(dataset, config.min_rating, config.k_core)
    return split_dataset(dataset, config)


def data_root(root: str) -> pathlib.Path | None:
    """The folder that holds the data sets: `root`, else DSL_TF_DATA, else None.

    Raises:
      UserError: it is not a folder.
    """
    folder = root or os.environ.get("DSL_TF_DATA", "")
    if not folder:
        return None
    path = pathlib.Path(folder).expanduser()
    if not path.is_dir():
        key = "`data.root`" if root else "The variable DSL_TF_DATA"
        raise UserError(f"{key} must be a folder. Received: {folder}.")
    return path


def filtered(dataset: Dataset, min_rating: float, k_core: int) -> Dataset:
    """Rating threshold, duplicates merged, k-core; then rows without gaps.

    Raises:
      UserError: nothing is left, or one user or one item only.
    """
    rated = steps.keep_rated(dataset, min_rating)
    merged = steps.merge_duplicates(rated)
    result = steps.keep_core(merged, k_core)
    if min_rating or k_core > 1:
        result = steps.compact(result)
    for kind, ids in (("users", result.user_ids), ("items", result.item_ids)):
        if len(ids) < 2:
            raise UserError(
                f"There must be at least two {kind}. Received: {len(ids)} in "
                f"{result.name!r}."
            )
    return result


def split_dataset(dataset: Dataset, config: ConfigDict) -> Split:
    """Splits a data set whose parts are sorted and free of duplicates.

    Args:
      dataset: as `filtered` returns it.
      config: `split`, `test_fraction`, `validation_fraction` and `seed`.

    Raises:
      UserError: the source lacks what the split needs.
    """
    how = config.split
    if how == "auto":
        how = "given" if dataset.test is not None else "ratio"
    if how == "given":
        dataset = _disjoint(dataset)
    else:
        dataset = _split_anew(dataset, how, config.test_fraction, config.seed)
    if dataset.validation is None:
        # NCF's files hold out one item of each user; so does validation then.
        one_each = how == "leave_one_out" or dataset.candidates is not None
        dataset = _carve(
            dataset, how, one_each, config.validation_fraction, config.seed
        )
    assert dataset.validation is not None and dataset.test is not None
    return Split(
        dataset.name,
        dataset.user_ids,
        dataset.item_ids,
        dataset.train,
        dataset.validation,
        dataset.test,
        dataset.candidates,
        dataset.split_label,
        dataset.warnings + _untidy(dataset),
    )


def _check(config: ConfigDict) -> None:
    if config.split not in SPLITS:
        raise UserError(
            f"`data.split` must be one of {', '.join(SPLITS)}. Received: "
            f"split={config.split!r}."
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


def _disjoint(dataset: Dataset) -> Dataset:
    """A pair in two parts stays in train; else it leaves validation."""
    if dataset.test is None:
        raise UserError(
            "`data.split='given'` needs a source with a test part. Received: "
            f"{dataset.name!r}, which has none."
        )
    num_items = len(dataset.item_ids)
    test = steps.without(dataset.test, dataset.train, num_items)
    lost = len(dataset.test) - len(test)
    dataset = steps.with_warning(
        dataset, lost, "pairs in both train and test were taken out of test"
    )
    validation = dataset.validation
    if validation is not None:
        for other in (dataset.train, test):
            validation = steps.without(validation, other, num_items)
        lost = len(dataset.validation or ()) - len(validation)
        dataset = steps.with_warning(
            dataset, lost, "pairs in another part too were taken out of validation"
        )
    return dataclasses.replace(dataset, test=test, validation=validation)


def _split_anew(dataset: Dataset, how: str, fraction: float, seed: int) -> Dataset:
    together = steps.concatenate(steps.parts(dataset))
    everything = steps.unique_pairs(together, len(dataset.item_ids))
    counts = np.bincount(everything.users, minlength=len(dataset.user_ids))
    rng = splits.stream(seed, "test")
    if how == "temporal":
        mask = splits.latest(everything, fraction, rng)
    elif how == "leave_one_out":
        one = (counts >= 2).astype(np.int64)
        mask = splits.latest_per_user(everything, one, rng)
    else:
        held_out = splits.test_counts(counts, fraction)
        mask = splits.random_per_user(everything, held_out, rng)
    dataset = steps.with_warning(
        dataset, len(together) - len(everything), "duplicate interactions were merged"
    )
    label = how if how == "leave_one_out" else f"{how} {fraction:g}"
    return dataclasses.replace(
        dataset,
        train=everything.take(~mask),
        validation=None,
        test=everything.take(mask),
        candidates=None,
        split_label=f"dsl_tf {label} split, seed {seed}",
    )


def _carve(
    dataset: Dataset, how: str, one_each: bool, fraction: float, seed: int
) -> Dataset:
    train = dataset.train
    counts = np.bincount(train.users, minlength=len(dataset.user_ids))
    held_out = splits.validation_counts(counts, fraction)
    if one_each:
        held_out = np.minimum(held_out, 1)
    choose = splits.random_per_user if how in ("given", "ratio") else None
    choose = choose or splits.latest_per_user
    mask = choose(train, held_out, splits.stream(seed, "validation"))
    return dataclasses.replace(
        dataset, train=train.take(~mask), validation=train.take(mask)
    )


def _untidy(dataset: Dataset) -> tuple[str, ...]:
    """Counted lines about cold users and items of the final parts."""
    assert dataset.validation is not None and dataset.test is not None

    def has(rows: np.ndarray, num_rows: int) -> np.ndarray:
        return np.bincount(rows, minlength=num_rows) > 0

    def users_of(part: Interactions) -> np.ndarray:
        return has(part.users, len(dataset.user_ids))

    def items_of(part: Interactions) -> np.ndarray:
        return has(part.items, len(dataset.item_ids))

    train, validation, test = dataset.train, dataset.validation, dataset.test
    known = items_of(train) | items_of(validation)
    active = users_of(train) | users_of(validation) | users_of(test)
    findings = (
        (users_of(test) & ~users_of(train), "test users have no training items"),
        (active & ~users_of(test), "users have no test items"),
        (items_of(test) & ~known, "items occur only in test"),
    )
    return tuple(
        f"{int(found.sum()):,} {what}." for found, what in findings if found.any()
    )
