"""What a method takes from one model to another: tables, masks and networks."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from dsl_tf.backbones.base import Backbone
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.layers.tables import DenseEmbedding, Tables
from dsl_tf.sparsity import initialization
from dsl_tf.sparsity.selection import Scores, highest
from dsl_tf.storage.slots import Slot


class State(NamedTuple):
    """The weights of a model, for another one.

    Attributes:
      tables: float32 [rows, width] by name.
      network: what is not in tables, in the model's order.
    """

    tables: dict[str, np.ndarray]
    network: list[np.ndarray]

    @classmethod
    def of(cls, model: Backbone) -> "State":
        """That of a model."""
        return cls(tables(model), network(model))

    def give(self, model: Backbone) -> None:
        """Give it to another one, sparse tables where they are active."""
        set_tables(model, self.tables)
        set_network(model, self.network)

    @property
    def nbytes(self) -> int:
        """Its bytes."""
        return sum(each.nbytes for each in (*self.tables.values(), *self.network))


def tables(model: Backbone) -> dict[str, np.ndarray]:
    """The user and item tables by their names, float32 [rows, width] each."""
    return {layer.name: layer.whole().numpy() for layer in _embeddings(model)}


def set_tables(model: Backbone, values: Mapping[str, np.ndarray]) -> None:
    """Give tables other values; of a sparse one, at its active positions.

    Args:
      model: with tables of these names and shapes.
      values: what `tables` returned for another model.
    """
    for layer in _embeddings(model):
        if isinstance(layer, DenseEmbedding):
            layer.embeddings.assign(values[layer.name])
        else:
            weight = layer.embeddings
            mask = weight.mask()
            slot = Slot(weight.values, 0.0)
            weight.assign([mask], [(slot, [values[layer.name][mask]])])


def network(model: Backbone) -> list[np.ndarray]:
    """What is not in tables, in the model's order."""
    return [variable.numpy() for variable in others(model)]


def set_network(model: Backbone, values: list[np.ndarray]) -> None:
    """Give a model the network that another had, of the same shapes."""
    for variable, value in zip(others(model), values, strict=True):
        variable.assign(value)


def largest(
    values: Mapping[str, np.ndarray],
    sparsity: float,
    among: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Masks of the weights of largest magnitude, table by table.

    Each table keeps exactly `initialization.budget` of its weights; ties go to the
    first ones.

    Args:
      values: tables, float32 [rows, width], by name.
      sparsity: s, the share of each table that goes.
      among: masks outside of which nothing is kept.

    Returns:
      bool [rows, width] by name.
    """
    masks = {}
    for name, table in values.items():
        allowed = None if among is None else among[name].reshape(-1)
        nnz = initialization.budget(table.shape, sparsity)
        scores = Scores.of(np.abs(table).reshape(-1))
        masks[name] = highest(scores, nnz, allowed).reshape(table.shape)
    return masks


def _embeddings(model: Backbone) -> Iterator[DenseEmbedding | SparseEmbedding]:
    for layer in model._flatten_layers():
        if isinstance(layer, DenseEmbedding | SparseEmbedding):
            yield layer


def others(model: Backbone) -> list[tf.Variable]:
    """The variables that are not in tables, in the model's order."""
    layers = [each for each in model._flatten_layers() if isinstance(each, Tables)]
    in_tables = {id(variable) for layer in layers for variable in layer.weights}
    return [v for v in model.weights if id(v) not in in_tables]
