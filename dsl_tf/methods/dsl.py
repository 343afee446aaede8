"""Dynamic Sparse Learning (Wang et al., WSDM 2024, sec. 3.1, Algorithm 1)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.errors import check_keys
from dsl_tf.layers.tables import DenseTables, SparseTables
from dsl_tf.methods import _budget, base
from dsl_tf.plugins import choose
from dsl_tf.sparsity import growth, pruning
from dsl_tf.sparsity.initialization import GivenMask
from dsl_tf.training.companions import Explorations
from dsl_tf.types import Split

#: Explorations where the update interval is left open.
EXPLORATIONS = 50

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "sparsity.update_interval": (0, 25, 50, 100, 200, 500),
    "sparsity.initial_update_ratio": {"low": 0.1, "high": 0.9},
}

#: Values of `sparsity.budget`, to whether users and items share one budget.
_JOINT = {"joint": True, "per_table": False}


def make_tables(
    config: config_dict.ConfigDict, split: Split, seed: int
) -> SparseTables:
    """Sparse tables of `sparsity.target`, in `storage`.

    Raises:
      UserError: an unknown `sparsity.budget`.
    """
    return SparseTables(
        activity=split.activity(),
        popularity=split.popularity(),
        sparsity=config.sparsity.target,
        storage=config.storage,
        joint=joint(config),
        seed=seed,
    )


def make_dense(config: config_dict.ConfigDict, split: Split, seed: int) -> DenseTables:
    """Dense tables of the same names and shapes as the sparse ones."""
    del seed
    return DenseTables(split.num_users, split.num_items, joint(config))


def given(masks: Mapping[str, np.ndarray]) -> base.MakeTables:
    """Makes sparse tables with masks that are known, bool [rows, width] by name."""

    def make(config: config_dict.ConfigDict, split: Split, seed: int) -> SparseTables:
        return dataclasses.replace(
            make_tables(config, split, seed),
            masks=lambda name, *_: GivenMask(masks[name]),
        )

    return make


def joint(config: config_dict.ConfigDict) -> bool:
    """Whether users and items share one budget.

    Raises:
      UserError: an unknown `sparsity.budget`.
    """
    return choose(_JOINT, config.sparsity.budget, "sparsity.budget")


def make_dynamic(
    config: config_dict.ConfigDict, planned_steps: int, seed: int, **changed: Any
) -> DynamicSparseTraining:
    """The callback of the `sparsity`, `pruning` and `growth` nodes.

    Args:
      config: the whole config.
      planned_steps: of the pass.
      seed: of criteria that draw at random.
      **changed: arguments of the callback that are not the config's.
    """
    horizon = config.growth.horizon
    settings = {
        "initial_update_ratio": config.sparsity.initial_update_ratio,
        "update_interval": interval(config, planned_steps),
        "end_step": _end_step(config, planned_steps),
        "decay": config.sparsity.schedule,
        "prune_criterion": pruning.find(config.pruning.criterion),
        "grow_criterion": growth.find(config.growth.criterion),
        "horizon": int(horizon) if horizon.isdecimal() else horizon,
        "recorder_rows": config.growth.recorder_rows,
        "second_moment": config.growth.second_moment,
        "exploration_replaces_step": config.sparsity.exploration_replaces_step,
        "seed": seed,
    }
    return DynamicSparseTraining(**{**settings, **changed})


def interval(config: config_dict.ConfigDict, planned_steps: int) -> int:
    """ΔT in steps; `EXPLORATIONS` of them, however few steps, where it is 0."""
    steps = _end_step(config, planned_steps) // EXPLORATIONS
    return config.sparsity.update_interval or max(1, steps)


def _end_step(config: config_dict.ConfigDict, planned_steps: int) -> int:
    fraction = config.sparsity.end_fraction
    check_keys(
        "sparsity",
        config.sparsity,
        end_fraction=(0 < fraction <= 1, "above 0, at most 1"),
    )
    return int(fraction * planned_steps)


#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass, sparse from the first step, moving weights on the schedule."""
    return passes.backbone(config, make_tables, explorations)


def explorations(
    config: config_dict.ConfigDict, planned_steps: int, seed: int
) -> Explorations:
    """`make_dynamic` as what goes along with a pass."""
    return Explorations(make_dynamic(config, planned_steps, seed))
