"""Let the look-ups of a training step, and of no other call, feed the recorders."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf import optimizers
from dsl_tf.errors import UserError
from dsl_tf.layers.base import SparseLayer
from dsl_tf.storage import slots

_OPTIMIZERS = (keras.optimizers.Optimizer, keras.optimizers.legacy.Optimizer)

#: Lists and dicts within each other that optimisers are looked for in.
_DEEP = 4


class WatchedStep:
    """A `train_step` during whose trace the sparse layers are watched.

    Args:
      train_step: the model's own.
      layers: the layers to watch.
      replaced: the attribute of the model's instance that it stands in for, or
        None where the class had the method.
    """

    def __init__(
        self,
        train_step: Callable[[Any], Any],
        layers: Sequence[SparseLayer],
        replaced: Callable[[Any], Any] | None,
    ) -> None:
        self.replaced = replaced
        self._train_step = train_step
        self._layers = layers

    def __call__(self, data: Any) -> Any:
        """Train on a batch."""
        for layer in self._layers:
            layer.watch(True)
        try:
            return self._train_step(data)
        finally:
            for layer in self._layers:
                layer.watch(False)


def watch(model: keras.Model, layers: Sequence[SparseLayer]) -> None:
    """From the next `fit` on, training steps feed the recorders of `layers`.

    Raises:
      UserError: the model is made for several replicas, each of which would
        record by itself.
    """
    strategy = model.distribute_strategy
    kinds = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
    mirrored = isinstance(strategy, kinds)
    if mirrored or strategy.num_replicas_in_sync > 1:
        raise UserError(
            "DynamicSparseTraining needs a model on one device. Received: "
            f"{type(strategy).__name__}, {strategy.num_replicas_in_sync} replicas."
        )
    unwatch(model)
    replaced = vars(model).get("train_step")
    model.train_step = WatchedStep(model.train_step, layers, replaced)
    model.train_function = None  # a step traced earlier records nothing
    optimizers.spare_search(model.optimizer)


def unwatch(model: keras.Model) -> None:
    """Give the model its own `train_step` back."""
    watched = model.train_step
    if not isinstance(watched, WatchedStep):
        return
    if watched.replaced is None:
        del model.train_step  # the class's method shows again
    else:
        model.train_step = watched.replaced
    model.train_function = None
    optimizers.search_again(model.optimizer)


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The optimiser that a model is compiled with, and others among its attributes.

    A custom `train_step` may update its tables by one and its network by another, and
    keep them in a list or a dict, or in a model within the model. What another model
    keeps that shares the tables cannot be found.
    """
    found = [model.optimizer]
    for layer in model._flatten_layers():
        found += _optimizers_in(list(vars(layer).values()), _DEEP)
    return list({id(each): each for each in found}.values())


def _optimizers_in(value: Any, deep: int) -> Iterator[keras.optimizers.Optimizer]:
    if isinstance(value, _OPTIMIZERS):
        yield value
    elif isinstance(value, Mapping) and deep:
        yield from _optimizers_in(list(value.values()), deep - 1)
    elif isinstance(value, (list, tuple)) and deep:
        for each in value:
            yield from _optimizers_in(each, deep - 1)


def steps_per_execution(model: keras.Model) -> int:
    """Training steps between two calls of a callback.

    Raises:
      UserError: the model was compiled so that it changes, or with XLA, in
        which the look-up of distinct rows has no form.
    """
    if model.autotune_steps_per_execution:
        raise UserError(
            "`steps_per_execution` must be a number with DynamicSparseTraining. "
            "Received: steps_per_execution='auto'."
        )
    if model.jit_compile:
        raise UserError(
            "DynamicSparseTraining needs a model compiled without XLA. Received: "
            "jit_compile=True."
        )
    steps = getattr(model, "_steps_per_execution", None)
    return 1 if steps is None else int(np.asarray(steps))


def steps_left(params: Mapping[str, Any], epoch: int, asked: bool) -> int:
    """Steps of a `fit` from an epoch on.

    Args:
      params: of the callbacks of a `fit`.
      epoch: from 0.
      asked: whether it matters; else a `fit` of unknown length has a step an epoch.

    Raises:
      UserError: `fit` does not know its number of steps.
    """
    steps = params.get("steps")
    if steps is None and asked:
        raise UserError(
            "`end_step` must be given where `fit` does not know its number "
            "of steps. Received: end_step=None, steps_per_epoch=None."
        )
    return int(steps or 1) * int(params["epochs"] - epoch)


def check(model: keras.Model, spans: Mapping[str, int], replaces_step: bool) -> None:
    """Refuse a model whose steps cannot be explored between.

    Args:
      model: about to be trained.
      spans: name to steps that callbacks have to come after.
      replaces_step: whether a step shall be undone.

    Raises:
      UserError: see `check_divides` and `make_replaceable`.
    """
    check_divides(steps_per_execution(model), spans)
    if replaces_step:
        make_replaceable(model)


def check_divides(steps_per_execution: int, spans: Mapping[str, int]) -> None:
    """Callbacks come after every n steps, so what they do must come so too.

    Raises:
      UserError: n does not divide one of the `spans`, name to steps.
    """
    for name, steps in spans.items():
        if steps % steps_per_execution:
            raise UserError(
                f"`steps_per_execution` must divide `{name}`. Received: "
                f"steps_per_execution={steps_per_execution}, {name}={steps}."
            )


def make_replaceable(model: keras.Model) -> None:
    """See that a training step can be undone: all that it changes must be there.

    Raises:
      UserError: the model is not built, or takes several steps at a time.
    """
    each = steps_per_execution(model)
    if each > 1 or not model.built:
        raise UserError(
            "`exploration_replaces_step` needs steps_per_execution=1 and a model that "
            f"is built. Received: steps_per_execution={each}, built={model.built}."
        )
    slots.create(model.optimizer, model.trainable_variables)
