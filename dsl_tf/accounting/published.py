"""Multiply-accumulates as the DSL paper seems to count them (its Table 2).

It has no formula. What its numbers fit:

- Inference is all users against all items: 2 N M d within 3 % for UltraGCN with d = 64,
  on its three data sets. For LightGCN it is 2 |E| (N + M) d L, within .3 % on two of
  three: every product with the graph as often as there are nodes, scores left out.
  NeuMF and ConvNCF score a hundred items of each user there, and all of them here;
  what the autoencoders' count is, is unknown.
- Training is forward only, in each step of a thousand epochs; a step of LightGCN takes
  what inference does.
- Sparse models take the share of their weights, the networks' too: (1 - s).

These are here to be set beside the paper's table. `accounting.macs` says what is done.
"""

from collections.abc import Iterable

import numpy as np

from dsl_tf.accounting import macs
from dsl_tf.backbones.base import Backbone
from dsl_tf.types import LayerMacs, StepSize


def inference(model: Backbone, density: float) -> float:
    """MACs of ranking all items for all users.

    Args:
      model: the backbone.
      density: share of weights that are not zero, 1 - s.
    """
    layers = _dense(model).values()
    graph = _graph(model, layers)
    if graph:
        return density * graph
    everything = macs.inference(_dense(model), model.num_items)
    return density * 2.0 * model.num_users * everything


def training(model: Backbone, density: float, steps: int, size: StepSize) -> float:
    """MACs of a training pass, forward.

    Args:
      model: the backbone.
      density: share of weights that are not zero, 1 - s.
      steps: optimiser steps.
      size: of a step.
    """
    layers = _dense(model)
    forward = macs.summed(macs.training(layers, 1, size).values()).forward
    return density * steps * (_graph(model, layers.values()) or forward)


def _graph(model: Backbone, layers: Iterable[LayerMacs]) -> float:
    """The products with a graph, as often as it has nodes; 0 without one."""
    # The gradient of a hop is dense.
    hops = sum(each.once_backward for each in layers)
    return hops * (model.num_users + model.num_items)


def _dense(model: Backbone) -> dict[str, LayerMacs]:
    row = np.zeros(1, np.int64)
    users = model.user_vectors({"user_id": row}).shape[1]
    items = model.item_vectors(row).shape[1]
    return model.macs(np.ones(users), np.ones(items))
