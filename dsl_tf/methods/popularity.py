"""The most popular items for everybody: the least that a recommender has to beat."""

from ml_collections import config_dict

from dsl_tf.accounting.macs import NO_MACS
from dsl_tf.backbones._popularity import Popularity
from dsl_tf.backbones.base import Backbone
from dsl_tf.methods import base

#: `sparsity.target` is not read: no weight is left out.
READS_SPARSITY = False


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One count."""
    model = passes.solved(lambda: Popularity(passes.split), NO_MACS)
    passes.report_validation(model, config)
    return model
