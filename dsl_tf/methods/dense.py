"""The backbone as it is, with dense tables: what every sparse row is held against."""

from ml_collections import config_dict

from dsl_tf.layers.tables import DenseTables
from dsl_tf.methods import base
from dsl_tf.types import Split


def make_tables(config: config_dict.ConfigDict, split: Split, seed: int) -> DenseTables:
    """Plain Keras embeddings."""
    del config, seed
    return DenseTables(split.num_users, split.num_items)


def train(task: base.Task, config: config_dict.ConfigDict) -> base.Trained:
    """Train once; `sparsity.*` is ignored."""
    return base.train_backbone(
        task,
        config,
        lambda split: make_tables(config, split, task.seed),
        lambda _: None,
    )
