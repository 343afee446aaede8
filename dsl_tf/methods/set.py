"""Sparse evolutionary training (SET, Mocanu et al. 2018): random growth.

The engine of DSL with SET's settings: after every epoch a constant share of the
weights leaves, those of least magnitude, and as many enter at random. Their code takes
the share from the positive and from the negative weights apart; here it is taken by
magnitude. No gradient of a position without a weight is used; of tables that are looked
up none is taken, of a graph model's they come with the others.
"""

from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import check_keys
from dsl_tf.methods import _budget, base, dsl
from dsl_tf.training.companions import Explorations

SETTINGS = {
    # ζ, the share of the weights exchanged.
    "update_ratio": 0.3,
    # Steps between exchanges; 0: an epoch. The last epoch is followed by none.
    "update_interval": 0,
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {"method.set.update_ratio": {"low": 0.1, "high": 0.5}}

#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass; `growth.*`, `pruning.*`, the schedule of `sparsity.*` are not read."""
    return passes.backbone(config, dsl.make_tables, explorations)


def explorations(
    config: config_dict.ConfigDict, planned_steps: int, seed: int
) -> Explorations:
    """Those of `dsl`, on SET's schedule; of a single epoch, none."""
    settings = config.method["set"]
    check_keys(
        "method.set",
        settings,
        update_ratio=(0 <= settings.update_ratio <= 1, "in [0, 1]"),
        update_interval=(settings.update_interval >= 0, "at least 0"),
    )
    config = config.copy_and_resolve_references()
    epochs = config.train.epochs
    steps = max(1, planned_steps // epochs)
    config.sparsity.update(
        initial_update_ratio=settings.update_ratio,
        update_interval=settings.update_interval or steps,
        # After each epoch but the last: a single one has no exchange.
        schedule="constant" if settings.update_interval or epochs > 1 else "none",
        end_fraction=1.0,
        exploration_replaces_step=False,
    )
    config.pruning.criterion = "magnitude"
    config.growth.update(criterion="random", horizon="auto", second_moment="zero")
    return dsl.explorations(config, planned_steps, seed)
