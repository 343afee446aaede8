"""Random pruning: a random mask of the target sparsity, never moved.

The paper's row "RP" (DSL sec. 4.1.3): DSL with an update ratio of zero.
"""

from ml_collections import config_dict

from dsl_tf.methods import base
from dsl_tf.methods.dsl import make_tables

__all__ = ["make_tables", "train"]


def train(task: base.Task, config: config_dict.ConfigDict) -> base.Trained:
    """Train with the first mask; the schedule's keys are ignored."""
    return base.train_backbone(
        task,
        config,
        lambda split: make_tables(config, split, task.seed),
        lambda _: None,
    )
