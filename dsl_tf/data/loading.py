"""From the config's `data` node to a `Split`: read, filter, split."""

import dataclasses
import os
import pathlib

from ml_collections import ConfigDict

from dsl_tf import plugins
from dsl_tf.data import files, splits
from dsl_tf.data import interactions as steps
from dsl_tf.errors import UserError
from dsl_tf.types import Dataset, Split


def load_split(config: ConfigDict) -> Split:
    """Loads, filters and splits the interactions that a config names.

    What is untidy but not wrong becomes one counted line each in
    `Split.warnings`; nothing is printed.

    Args:
      config: the `data` node: `path` (wins over `name`), `name`, `root`
        (else the variable DSL_TF_DATA), `user_column`, `item_column`,
        `rating_column`, `time_column`, `separator`, `min_rating`, `k_core`,
        `split`, `test_fraction`, `validation`, `validation_fraction`, `seed`.

    Raises:
      UserError: a wrong key, or a file that is missing or wrong.
    """
    splits.check(config)
    if config.path:
        dataset = files.load(pathlib.Path(config.path).expanduser(), config)
    else:
        source = plugins.find("dsl_tf.data.datasets", config.name, "data set")
        dataset = source.load(data_root(config.root))
    dataset = filtered(dataset, config.min_rating, config.k_core)
    split = splits.split_dataset(dataset, config)
    return dataclasses.replace(split, label=split.label + _filters(config))


def _filters(config: ConfigDict) -> str:
    """What a split's label must add: numbers on other interactions differ."""
    rated = f", ratings >= {config.min_rating:g}" if config.min_rating else ""
    return rated + (f", {config.k_core}-core" if config.k_core > 1 else "")


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
    """Duplicates merged, rating threshold, k-core; then rows without gaps.

    In this order: who takes a high rating back has no positive.

    Raises:
      UserError: nothing is left, or one user or one item only.
    """
    result = steps.merge_duplicates(dataset)
    result = steps.keep_rated(result, min_rating)
    result = steps.keep_core(result, k_core)
    if min_rating or k_core > 1:
        result = steps.compact(result)
    for kind, ids in (("users", result.user_ids), ("items", result.item_ids)):
        if len(ids) < 2:
            raise UserError(
                f"There must be at least two {kind}. Received: {len(ids)} in "
                f"{result.name!r}."
            )
    return result
