"""Without rewinding (WR): masks found round by round, weights not rewound.

A row of DSL's Table 3, which names no algorithm. The code that its authors built
their comparisons on (LTH-MRS) draws new weights for every round: `rewind=random`,
the default here, also where the dense pass was pretrained (ConvNCF). What the name
says, going on from the trained weights (gradual fine-tuning, Han et al. 2015), is
`rewind=none`.
"""

from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.methods import _budget, _tickets, base

SETTINGS = {
    # What each round starts from: random, new weights; none, those trained last; or
    # init, those before the dense pass, as `lottery_ticket` does.
    "rewind": "random",
    # Of the weights that are left, pruned in each round.
    "share": 0.1,
}

#: What `python -m dsl_tf.tune` varies; a smaller share takes more rounds.
SPACE = {
    "method.without_rewinding.rewind": ("random", "none"),
    "method.without_rewinding.share": {"low": 0.1, "high": 0.5},
}

#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """A dense pass, and one for each round."""
    settings = config.method.without_rewinding
    targets = _tickets.sparsities(config.sparsity.target, settings.share)
    return _tickets.train(passes, config, targets, settings.rewind)
