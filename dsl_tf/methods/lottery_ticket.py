"""Lottery tickets (LTH-MRS, Wang et al. 2022): prune a little, rewind, train again.

A row of DSL's Table 3. Each round trains from the same initial weights, then prunes
a share of what is left of each table by magnitude; the mask of the last round has
the target sparsity exactly. At the share of the original, a tenth, s = .8 takes a
dense pass and 16 sparse ones.
"""

from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.methods import _budget, _tickets, base

SETTINGS = {
    # Of the weights that are left, pruned in each round.
    "share": 0.1,
}

#: What `python -m dsl_tf.tune` varies; a smaller share takes more rounds.
SPACE = {"method.lottery_ticket.share": {"low": 0.1, "high": 0.5}}

#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """A dense pass, and one for each round."""
    share = config.method.lottery_ticket.share
    targets = _tickets.sparsities(config.sparsity.target, share)
    return _tickets.train(passes, config, targets, "init")
