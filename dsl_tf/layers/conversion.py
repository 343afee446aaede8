"""Change the storage of a trained model, in either direction."""

from collections.abc import Iterator

import numpy as np
import tf_keras as keras

from dsl_tf import storage as storages
from dsl_tf.errors import UserError
from dsl_tf.layers.base import SparseLayer, named_weights
from dsl_tf.storage import slots
from dsl_tf.storage.base import BLOCK_ELEMENTS, SparseWeight
from dsl_tf.storage.slots import Slot


def convert(model: keras.Model, storage: str) -> keras.Model:
    """The same model with its sparse matrices in another storage.

    Masks, values and all other weights are those of `model`, which stays as it
    is. The new model is not compiled. To go on training bit for bit, compile it
    with the same optimiser, build that, and call `copy_model` again.

    Args:
      model: a Sequential or functional model, built. (A subclassed model is
        made anew by its own code; then use `copy_model`.)
      storage: `"packed"` or `"masked"`.

    Raises:
      UserError: an unknown storage, a subclassed model, or a sparse layer inside
        another layer, which would be left as it is.
    """
    storages.find(storage)
    if not isinstance(model, keras.Sequential) and not model._is_graph_network:
        raise UserError(
            "`convert` needs a Sequential or functional model. Received: "
            f"{type(model).__name__}."
        )

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.Model):
            return convert(layer, storage)
        config = layer.get_config()
        if isinstance(layer, SparseLayer):
            config["storage"] = storage
        return type(layer).from_config(config)

    names = {type(layer).__name__: type(layer) for layer in _sparse_layers(model)}
    with keras.utils.custom_object_scope(names):
        converted = keras.models.clone_model(model, clone_function=clone)
    for layer in _sparse_layers(converted):
        if layer.storage != storage:
            raise UserError(
                "`convert` reaches sparse layers of models, not those inside other "
                f"layers; use `copy_model`. Received: {layer.name!r} inside a layer."
            )
    copy_model(model, converted)
    return converted


def copy_model(source: keras.Model, target: keras.Model) -> None:
    """Give `target` the masks and weights of `source`, whatever their storages.

    Where both are compiled with an optimiser that is built, its moments and
    step count too.

    Args:
      source: the model to read.
      target: a model of the same layers and shapes, built.

    Raises:
      UserError: the models, or what their optimisers keep, differ in more than
        the storage.
    """
    models = (source, target)
    sparse = [list(named_weights(_sparse_layers(model)).values()) for model in models]
    _check_equal(len(sparse[0]), len(sparse[1]), "sparse weights")
    optimizers = [_built_optimizer(model) for model in models]
    if None in optimizers:
        optimizers = [None, None]
    for old, new in zip(*sparse, strict=True):
        copy_weight(old, new, *optimizers)
        if new.use is None:
            new.use = old.use
    for old_layer, new_layer in zip(*map(_sparse_layers, models), strict=True):
        if new_layer.popularity is None:
            new_layer.popularity = old_layer.popularity
    others = []
    for model, weights, optimizer in zip(models, sparse, optimizers, strict=True):
        done = [v for weight in weights for v in weight.variables]
        state = []
        if optimizer is not None:
            state = optimizer.variables()
            done += [
                s.variable for w in weights for s in slots.find(optimizer, w.values)
            ]
        ids = {id(variable) for variable in done}
        others.append([v for v in [*model.weights, *state] if id(v) not in ids])
    shapes = [[tuple(variable.shape) for variable in each] for each in others]
    _check_equal(shapes[0], shapes[1], "other weights")
    for old, new in zip(*others, strict=True):
        new.assign(old)


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
        built: the moments too, but not the step count.
      target_optimizer: see there.

    Raises:
      UserError: the weights differ in shape or budget, or the optimisers in
        what they keep.
    """
    _check_equal(
        (source.shape, source.nnz), (target.shape, target.nnz), "shape and non-zeros"
    )
    pairs = [(Slot(source.values, 0.0), Slot(target.values, 0.0))]
    if source_optimizer is not None and target_optimizer is not None:
        old = slots.find(source_optimizer, source.values)
        new = slots.find(target_optimizer, target.values)
        _check_equal(len(old), len(new), "moments of a weight")
        pairs += zip(old, new, strict=True)
        target.moments_of = None  # not those of the mask that it had
    target.assign(
        source.mask_blocks(),
        ((new, _blocks(source, old)) for old, new in pairs),
    )


def _built_optimizer(model: keras.Model) -> keras.optimizers.Optimizer | None:
    optimizer = getattr(model, "optimizer", None)
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        # The step count is there before the moments.
        return optimizer if len(optimizer.variables()) > 1 else None
    # What wraps another, such as `LossScaleOptimizer`, is never built itself.
    built = getattr(getattr(optimizer, "inner_optimizer", optimizer), "_built", False)
    return optimizer if built else None


def _sparse_layers(model: keras.Model) -> list[SparseLayer]:
    return [each for each in model._flatten_layers() if isinstance(each, SparseLayer)]


def _check_equal(source: object, target: object, what: str) -> None:
    if source != target:
        raise UserError(
            f"Source and target must have the same {what}. Received: {source} and "
            f"{target}."
        )


def _blocks(weight: SparseWeight, slot: Slot) -> Iterator[np.ndarray]:
    read = weight.reader(slot.variable)
    for start in range(0, weight.nnz, BLOCK_ELEMENTS):
        yield read(start, min(start + BLOCK_ELEMENTS, weight.nnz))
