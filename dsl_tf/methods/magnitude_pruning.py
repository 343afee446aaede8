"""One-shot magnitude pruning (OMP): train dense, prune once, rewind, train again.

A row of DSL's Table 3. After the dense pass, of each table the weights of largest
magnitude stay; they go back to what they were before that pass, and are trained
again with a mask that is never moved (Frankle and Carbin 2019, one round).
"""

from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.methods import _budget, _tickets, base

#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """A dense pass, and one with its mask from the same initial weights."""
    return _tickets.train(passes, config, [config.sparsity.target], "init")
