"""Multiply-accumulates by layer, by formula, from the non-zeros that there are.

Forward, of a step with so many users, items and pairs (`StepSize`), a layer takes
    once + users · per_user + items · per_item + pairs · per_pair
with the backbone's own `macs` for the four, zeros of the tables not counted. Rows
have as many non-zeros there as they have on average over the users, items and pairs of
steps (`RowShares`): weights that move to who is active and what is popular, which steps
see more often, make steps dearer. In inference each row counts once.
Backward: twice that (the gradient of the inputs and that of the weights), but
`once_backward` for `once`, a product with a graph, which has no weights. Optimiser:
`OPTIMIZER_MACS`, those of Adam, for each weight updated in a step: all non-zeros,
touched or not, as Keras does it; with `LazyAdam`, of the tables at most the non-zeros
of the rows of a batch, one by one, users and items together (all of a graph model's;
those of a decoder that scores all items are more than is counted). Exploration
compares and moves; what it multiplies are the gradients of positions without a
weight, in the steps that are recorded. What a method adds to the loss says itself what
it takes (`dsl_tf.layers.losses.LossTerm`).
Evaluation between epochs is not training.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from dsl_tf.backbones.base import Backbone
from dsl_tf.layers.tables import Tables
from dsl_tf.optimizers import LazyAdam
from dsl_tf.types import LayerMacs, RowShares, StepSize

#: Adam: 1 for the first moment, 2 for the second, 2 for the weight.
OPTIMIZER_MACS = 5


class TrainingMacs(NamedTuple):
    """Multiply-accumulates of training, by what they serve."""

    forward: int
    backward: int
    optimizer: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.forward + self.backward + self.optimizer


NO_MACS = TrainingMacs(0, 0, 0)


#: What layers take in training, by their names.
Layers = Mapping[str, TrainingMacs]


def summed(each: Iterable[TrainingMacs]) -> TrainingMacs:
    """The sum of some, part by part."""
    return TrainingMacs(*map(sum, zip(NO_MACS, *each, strict=True)))


def of_layers(model: Backbone) -> dict[str, LayerMacs]:
    """MACs of scoring at the densities that the tables have now, all rows alike."""
    return _of_rows(model, _densities(model, _alike(model)))


def of_steps(model: Backbone) -> dict[str, LayerMacs]:
    """The same with each row as often as the model's training steps take it in."""
    return _of_rows(model, _densities(model, model.shares or _alike(model)))


def _alike(model: Backbone) -> RowShares:
    items = np.full(model.num_items, 1.0 / model.num_items)
    users = np.full(model.num_users, 1.0 / model.num_users)
    return RowShares(users, items, items, items)


class _Densities(NamedTuple):
    """Shares of non-zeros in columns, float64 [width]; see `RowShares`."""

    users: np.ndarray
    items: np.ndarray
    pairs: np.ndarray


def _of_rows(model: Backbone, rows: _Densities) -> dict[str, LayerMacs]:
    layers = model.macs(rows.users, rows.items)
    if np.array_equal(rows.items, rows.pairs):
        return layers
    pairs = model.macs(rows.users, rows.pairs)
    return {
        name: taken._replace(per_pair=pairs[name].per_pair)
        for name, taken in layers.items()
    }


def elsewhere(model: Backbone, size: StepSize) -> int:
    """MACs of the gradients of a step at the positions that have no weight.

    Those of all positions of the users' rows are what the layers take where the users'
    rows are dense, and the same for items; less those that training takes anyway. The
    sum of an autoencoder's encoder rows has no other factor, so its gradients, twice
    the sum already, are at all positions as they are.
    """
    rows = _densities(model, model.shares or _alike(model))
    users, items = np.ones_like(rows.users), np.ones_like(rows.items)
    anyway, of_users, of_items = (
        _forward(_of_rows(model, each), 1, size)
        for each in (
            rows,
            rows._replace(users=users),
            rows._replace(items=items, pairs=items),
        )
    )
    return of_users + of_items - 2 * anyway


def _forward(layers: Mapping[str, LayerMacs], steps: int, size: StepSize) -> int:
    return summed(training(layers, steps, size).values()).forward


def _looked_up(model: Backbone, size: StepSize) -> float:
    """Non-zeros of a step's rows, repetitions counted, over those of all rows."""
    shares = _alike(model)
    every = _densities(model, shares)
    taken = _densities(model, model.shares or shares)
    nonzeros = size.users * taken.users.sum() + size.items * taken.items.sum()
    whole = model.num_users * every.users.sum() + model.num_items * every.items.sum()
    return float(nonzeros / max(1.0, whole))


def _densities(model: Backbone, shares: RowShares) -> _Densities:
    prepared = model.prepared()  # once: it propagates the tables of a graph model
    items = model.item_blocks(np.arange(model.num_items), prepared)
    (users,) = _used(model.user_blocks(prepared), shares.users)
    return _Densities(users, *_used(items, shares.items, shares.pairs))


def _used(blocks: Iterable[np.ndarray], *weights: np.ndarray) -> np.ndarray:
    """The share of non-zeros in each column by weights of rows, [weights, width]."""
    each = np.stack(weights)
    nonzeros, begin = 0.0, 0
    for block in blocks:
        end = begin + len(block)
        nonzeros, begin = nonzeros + each[:, begin:end] @ (block != 0), end
    return nonzeros / each.sum(axis=1, keepdims=True)


def updates(model: Backbone, steps: int, size: StepSize) -> dict[str, TrainingMacs]:
    """MACs of the optimiser, by the names of the trained tensors."""
    tables = {
        id(variable)
        for layer in model._flatten_layers()
        if isinstance(layer, Tables)
        for variable in layer.trainable_variables
    }
    active = {id(weight.values): weight.nnz for weight in model.sparse_weights()}
    share = 1.0
    if isinstance(model.optimizer, LazyAdam):
        # A graph's gradient reaches every row, which is then updated as by Adam.
        graph = any(each.once for each in of_layers(model).values())
        share = 1.0 if graph else min(1.0, _looked_up(model, size))
    taken = {}
    for variable in model.trainable_variables:
        count = active.get(id(variable), variable.shape.num_elements())
        if id(variable) in tables:
            count *= share
        name = f"update of {variable.name.removesuffix(':0')}"
        taken[name] = TrainingMacs(0, 0, round(OPTIMIZER_MACS * count * steps))
    return taken


def training(
    layers: Mapping[str, LayerMacs], steps: int, size: StepSize
) -> dict[str, TrainingMacs]:
    """MACs of a training pass by layer, without the optimiser's.

    Args:
      layers: of the backbone.
      steps: optimiser steps.
      size: of a step.
    """
    taken = {}
    for name, macs in layers.items():
        scores = size.users * macs.per_user + size.items * macs.per_item
        scores += size.pairs * macs.per_pair
        forward = round(steps * (macs.once + scores))
        backward = round(steps * (macs.once_backward + 2 * scores))
        taken[name] = TrainingMacs(forward, backward, 0)
    return taken


def of_pass(
    model: Backbone, layers: Mapping[str, LayerMacs], steps: int, size: StepSize
) -> dict[str, TrainingMacs]:
    """MACs of a pass: of its layers, of what is added to its loss, of the optimiser.

    Args:
      model: trained; compiled with the optimiser that trained it.
      layers: of the model.
      steps: optimiser steps.
      size: of a step.
    """
    taken = training(layers, steps, size)
    for term in model.loss_terms:
        taken |= training(term.macs(layers, size), steps, size)
    return taken | updates(model, steps, size)


def once(layers: Mapping[str, LayerMacs]) -> int:
    """MACs of what comes once before scores, such as the propagation of a graph."""
    return round(sum(each.once for each in layers.values()))


def inference(layers: Mapping[str, LayerMacs], num_items: int) -> int:
    """MACs of scoring all items for one user: per_user + M · (per_item + per_pair)."""
    each = [m.per_user + num_items * (m.per_item + m.per_pair) for m in layers.values()]
    return round(sum(each))
