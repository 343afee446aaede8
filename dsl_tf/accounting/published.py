"""Multiply-accumulates as the DSL paper seems to count them (its Table 2).

It has no formula. What its numbers fit:

- Inference is all users against all items: 2 N M d within 3 % for UltraGCN with d = 64,
  on its three data sets. For LightGCN it is 2 |E| (N + M) d L, within .3 % on two of
  three: every product with the graph as often as there are nodes, scores left out.
  NeuMF and ConvNCF score a hundred items of each user there, and all of them here;
  what the autoencoders' count is, is unknown.
- Training is forward only, in each step of a thousand epochs; a step of LightGCN takes
  what inference does.
- Sparse models take the share of their weights, the networks' too: (1 - s). Of the L
  hops of LightGCN one is dense and the others take that share: its tables fit
  (1 + (L - 1) (1 - s)) / L within 1 %, with s = .5 (Table 3 says so) on Yelp2018 and
  Gowalla and .6 on Amazon-Book, for L = 3 and 4. Inference of UltraGCN would fit
  (1 - s)², a product of two sparse rows, but Table 2 does not say what s is.

These are here to be set beside the paper's table. `accounting.macs` says what is done.
"""

from collections.abc import Mapping

import numpy as np

from dsl_tf.accounting import macs
from dsl_tf.backbones.base import Backbone
from dsl_tf.types import LayerMacs, StepSize


def inference(
    model: Backbone, layers: Mapping[str, LayerMacs], density: float
) -> float:
    """MACs of ranking all items for all users.

    Args:
      model: the backbone.
      layers: its own account, at whatever densities.
      density: share of weights that are not zero, 1 - s.
    """
    graph = _graph(model, layers, density)
    if graph:
        return graph
    everything = macs.inference(_dense(model), model.num_items)
    return density * 2.0 * model.num_users * everything


def training(
    model: Backbone,
    layers: Mapping[str, LayerMacs],
    density: float,
    steps: int,
    size: StepSize,
) -> float:
    """MACs of a training pass, forward.

    Args:
      model: the backbone.
      layers: its own account, at whatever densities.
      density: share of weights that are not zero, 1 - s.
      steps: optimiser steps.
      size: of a step.
    """
    graph = _graph(model, layers, density)
    if graph:
        return steps * graph
    forward = macs.summed(macs.training(_dense(model), 1, size).values()).forward
    return density * steps * forward


def _graph(model: Backbone, layers: Mapping[str, LayerMacs], density: float) -> float:
    """The products with a graph, as often as it has nodes; 0 without one."""
    # The gradient of a hop is dense.
    hops = [each.once_backward for each in layers.values()]
    taken = density * sum(hops) + (1.0 - density) * max(hops, default=0.0)
    return taken * (model.num_users + model.num_items)


def _dense(model: Backbone) -> dict[str, LayerMacs]:
    row = np.zeros(1, np.int64)
    users = model.user_vectors({"user_id": row}).shape[1]
    items = model.item_vectors(row).shape[1]
    return model.macs(np.ones(users), np.ones(items))
