"""Backbones as a config asks for them, with what trains them."""

from collections.abc import Callable

import tensorflow as tf
from ml_collections import config_dict

from dsl_tf import optimizers, plugins
from dsl_tf.backbones.base import Backbone
from dsl_tf.data.pipelines import Batches
from dsl_tf.layers.tables import TableFactory
from dsl_tf.types import Split

#: Gives a new model other weights than its initial ones, or more of them.
Start = Callable[[Backbone], None]


def make_model(
    split: Split,
    config: config_dict.ConfigDict,
    tables: TableFactory,
    seed: int,
    steps: int | None = None,
    start: Start | None = None,
) -> tuple[Backbone, Batches]:
    """A backbone with all its variables, compiled to be trained, and its batches.

    Args:
      split: its training part is trained on.
      config: the whole config.
      tables: dense or sparse.
      seed: of everything random.
      steps: planned, for the schedule of the learning rate; None: the epochs of
        the config.
      start: sees the backbone first; what it adds is trained too.
    """
    model = make_backbone(split, config, tables, seed)
    if start is not None:
        start(model)
    batches = model.batches(split, config.train, seed)
    model.shares = batches.shares
    optimizer = optimizers.make(
        config.optimizer.name,
        config.train.learning_rate,
        config.train.learning_rate_schedule,
        steps or config.train.epochs * batches.steps_per_epoch,
        config.optimizer.beta_2,
    )
    model.compile(optimizer)
    model.optimizer.build(model.trainable_variables)
    return model, batches


def make_backbone(
    split: Split, config: config_dict.ConfigDict, tables: TableFactory, seed: int
) -> Backbone:
    """A backbone with all its variables, without an optimiser and its moments."""
    backbone = plugins.find("dsl_tf.backbones", config.model.name, "backbone")
    model: Backbone = backbone.build(config.model, split, tables, seed)
    row = tf.zeros([1], tf.int32)
    model({"user": row, "item": row, "negatives": row[:, None]})
    return model
