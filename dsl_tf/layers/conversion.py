"""Change the storage of a trained model, in either direction."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf import storage as storages
from dsl_tf.errors import UserError
from dsl_tf.layers.base import SparseLayer
from dsl_tf.storage import slots
from dsl_tf.storage.base import BLOCK_ELEMENTS, SparseWeight
from dsl_tf.storage.slots import Slot


def convert(model: keras.Model, storage: str) -> keras.Model:
    """The same model with its sparse matrices in another storage.

    Masks, values and all other weights are those of `model`, which stays as it
    is. The new model is not compiled. To go on training, compile it, and give
    the optimiser's moments to `copy_weight` too if they shall be kept.

    Args:
      model: a Sequential or functional model, built. (A subclassed model is
        made anew by its own code; then use `copy_weight`.)
      storage: `"packed"` or `"masked"`.

    Raises:
      UserError: an unknown storage, or a subclassed model.
    """
    storages.find(storage)
    if not isinstance(model, keras.Sequential) and not model._is_graph_network:
        raise UserError(
            "`convert` needs a Sequential or functional model. Received: "
            f"{type(model).__name__}."
        )

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, SparseLayer):
            config["storage"] = storage
        return type(layer).from_config(config)

    converted = keras.models.clone_model(model, clone_function=clone)
    layers = zip(model._flatten_layers(), converted._flatten_layers(), strict=True)
    for old, new in layers:
        if isinstance(old, SparseLayer):
            _copy_layer(old, new)
        elif not list(old._flatten_layers(include_self=False)):
            new.set_weights(old.get_weights())
    return converted


def _copy_layer(source: SparseLayer, target: SparseLayer) -> None:
    weights = (source.own_sparse_weights, target.own_sparse_weights)
    for old, new in zip(*weights, strict=True):
        copy_weight(old, new)
    for old, new in zip(_others(source), _others(target), strict=True):
        new.assign(old)


def _others(layer: SparseLayer) -> list[tf.Variable]:
    """The variables of a layer that belong to no sparse weight, such as a bias."""
    own = {id(v) for weight in layer.own_sparse_weights for v in weight.variables}
    return [variable for variable in layer.weights if id(variable) not in own]


def copy_weight(
    source: SparseWeight,
    target: SparseWeight,
    source_optimizer: keras.optimizers.Optimizer | None = None,
    target_optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Give `target` the mask and the values of `source`, whatever their storages.

    Args:
      source: the weight to read.
      target: a weight of the same shape and number of non-zeros.
      source_optimizer: with `target_optimizer`, of the same kind and both
        built: the moments too.
      target_optimizer: see there.

    Raises:
      UserError: the weights differ in shape or budget, or the optimisers in
        what they keep.
    """
    if (source.shape, source.nnz) != (target.shape, target.nnz):
        raise UserError(
            "Weights must have one shape and number of non-zeros. Received: "
            f"{source.shape} with {source.nnz}, {target.shape} with {target.nnz}."
        )
    pairs = [(Slot(source.values, 0.0), Slot(target.values, 0.0))]
    if source_optimizer is not None and target_optimizer is not None:
        old = slots.find(source_optimizer, source.values)
        new = slots.find(target_optimizer, target.values)
        if len(old) != len(new):
            raise UserError(
                "The optimisers must keep as many moments. Received: "
                f"{len(old)} and {len(new)}."
            )
        pairs += zip(old, new, strict=True)
    target.assign(
        source.mask_blocks(),
        ((new, _blocks(source, old)) for old, new in pairs),
    )


def _blocks(weight: SparseWeight, slot: Slot) -> Iterator[np.ndarray]:
    read = weight.reader(slot.variable)
    for start in range(0, weight.nnz, BLOCK_ELEMENTS):
        yield read(start, min(start + BLOCK_ELEMENTS, weight.nnz))
