"""The backbone as it is, with dense tables: what every sparse row is held against."""

from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.layers.tables import DenseTables
from dsl_tf.methods import base
from dsl_tf.types import Split

#: `sparsity.target` is not read: no weight is left out.
READS_SPARSITY = False


def make_tables(config: config_dict.ConfigDict, split: Split, seed: int) -> DenseTables:
    """Plain Keras embeddings."""
    del config, seed
    return DenseTables(split.num_users, split.num_items)


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass; `sparsity.*` is ignored."""
    return passes.backbone(config, make_tables)
