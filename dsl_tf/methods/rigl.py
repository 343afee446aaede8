"""RigL (Evci et al. 2020): growth by the gradient of one batch, ended early.

The engine of DSL with RigL's settings. What DSL changes of RigL are the settings, not
the algorithm: both let the weights of least magnitude leave and those of greatest
gradient enter, by a share that falls as a cosine. An optimiser step on which an
exchange falls is not taken, as in the original.
"""

from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import check_keys
from dsl_tf.methods import _budget, base, dsl
from dsl_tf.training.companions import Explorations

SETTINGS = {
    # f, the share of the weights exchanged at the beginning.
    "update_ratio": 0.3,
    # ΔT, steps between exchanges.
    "update_interval": 100,
    # Of the planned steps: after which the mask is fixed.
    "end_fraction": 0.75,
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "method.rigl.update_ratio": {"low": 0.1, "high": 0.5},
    "method.rigl.update_interval": (25, 50, 100, 200, 500),
    "method.rigl.end_fraction": {"low": 0.5, "high": 1.0},
}

#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass; `growth.*`, `pruning.*`, the schedule of `sparsity.*` are not read.

    But for `growth.recorder_rows`, which is memory.
    """
    return passes.backbone(config, dsl.make_tables, explorations)


def explorations(
    config: config_dict.ConfigDict, planned_steps: int, seed: int
) -> Explorations:
    """Those of `dsl`, on RigL's schedule."""
    settings = config.method.rigl
    check_keys(
        "method.rigl",
        settings,
        update_ratio=(0 <= settings.update_ratio <= 1, "in [0, 1]"),
        update_interval=(settings.update_interval >= 1, "at least 1"),
        end_fraction=(0 < settings.end_fraction <= 1, "above 0, at most 1"),
    )
    config = config.copy_and_resolve_references()
    config.sparsity.update(
        initial_update_ratio=settings.update_ratio,
        update_interval=settings.update_interval,
        schedule="cosine",
        end_fraction=settings.end_fraction,
        exploration_replaces_step=True,
    )
    config.pruning.criterion = "magnitude"
    config.growth.update(criterion="gradient", horizon="1", second_moment="zero")
    return dsl.explorations(config, planned_steps, seed)
