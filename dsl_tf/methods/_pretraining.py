"""Tables that a run starts from because another backbone trained them before.

A backbone that wants it has a function beside `build`:

    pretraining(config: ConfigDict) -> ConfigDict | None

which returns the config of that other run, or None where this one starts from its
initial weights. The tables of both models have to be of the same shapes, in the
same order. What is copied is the tables as they are stored. Of sparse ones that is
values and masks: the run starts from the budget as the other one has placed it. Weights
move in the other run too, on a schedule over its own steps, and from the start again in
this one. Of dense ones it is values alone: what prunes them, masks or thresholds,
begins with this run.

The other run is selected on validation by the metric of all runs, at the epoch
that is best by its own scores. It is a pass over data like any other: it has its
own checkpoints and stands in the cost report. A refit repeats it on training and
validation, for as many steps as were chosen: what is refitted is all of the
training, not its end.
"""

import numpy as np
import tensorflow as tf
from ml_collections import config_dict

from dsl_tf import plugins
from dsl_tf.backbones.base import Backbone
from dsl_tf.layers.tables import DenseEmbedding, Tables


def config_of(config: config_dict.ConfigDict) -> config_dict.ConfigDict | None:
    """The config of the run that comes first, or None.

    Raises:
      UserError: no such backbone, or a key of its pretraining is out of range.
    """
    backbone = plugins.find("dsl_tf.backbones", config.model.name, "backbone")
    found: config_dict.ConfigDict | None = None
    if hasattr(backbone, "pretraining"):
        found = backbone.pretraining(config)
    return found


def tables(model: Backbone) -> list[np.ndarray]:
    """What a model's tables hold, masks of sparse ones included, by variable."""
    return [variable.numpy() for variable in _variables(model)]


def adopt(model: Backbone, values: list[np.ndarray]) -> None:
    """Start a model from the tables of another.

    Args:
      model: not trained yet.
      values: what `tables` returned for the other.

    Raises:
      ValueError: they have other shapes, which is a mistake of the backbone.
    """
    variables = _variables(model)
    shapes = [tuple(variable.shape) for variable in variables]
    given = [value.shape for value in values]
    if shapes != given:
        raise ValueError(
            f"The tables of both runs must be alike. Received: {given} for {shapes}."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _variables(model: Backbone) -> list[tf.Variable]:
    layers = [each for each in model._flatten_layers() if isinstance(each, Tables)]
    parts = [part for each in layers for part in each._flatten_layers(False, False)]
    return [
        variable
        for part in parts
        for variable in (
            [part.embeddings] if isinstance(part, DenseEmbedding) else part.weights
        )
    ]
