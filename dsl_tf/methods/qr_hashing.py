"""Quotient-remainder hashing (Shi et al., KDD 2020): two small tables for a large one.

What recommenders at scale compress embeddings with (DLRM has it). The two tables take
1 - s of the rows of the large one, or a few less, in exported files, too: nearly all
are remainders, and about 1 / (1 - s) are quotients. At s = 0 two rows share their
remainders with two others. The file of a graph model has its propagated rows in full,
whatever they are made of.
"""

from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.layers.hashed import HashedTables
from dsl_tf.methods import base, dsl
from dsl_tf.types import Split

SETTINGS = {
    # How a row of each table become one: multiply or add.
    "operation": "multiply",
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {"method.qr_hashing.operation": ("multiply", "add")}


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass."""
    return passes.backbone(config, make_tables)


def make_tables(
    config: config_dict.ConfigDict, split: Split, seed: int
) -> HashedTables:
    """Hashed tables in place of those that a share of `sparsity.target` goes of."""
    del seed
    return HashedTables(
        split.num_users,
        split.num_items,
        dsl.joint(config),
        1.0 - config.sparsity.target,
        config.method.qr_hashing.operation,
    )
