"""Random pruning: a random mask of the target sparsity, never moved.

The paper's row "RP" (DSL sec. 4.1.3): DSL with an update ratio of zero.
"""

from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.methods import _budget, base, dsl

#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass with the first mask; the schedule's keys are ignored."""
    return passes.backbone(config, dsl.make_tables)
