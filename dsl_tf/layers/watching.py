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


class WatchedFunction:
    """A model's `train_function`, during whose steps the sparse layers are watched.

    It does so once each time that it is armed, before each batch of a `fit`. Called
    without, by a `fit` after one that was broken off, it makes room for another.

    Args:
      model: whose function it is.
      layers: the layers to watch.
      function: what Keras made.

    Attributes:
      layers: as given.
      armed: whether the next call is one of the `fit` that has the callback.
    """

    def __init__(
        self,
        model: keras.Model,
        layers: Sequence[SparseLayer],
        function: Callable[[Any], Any],
    ) -> None:
        self.layers = layers
        self.armed = False
        self._model = model
        self._function = function

    def __call__(self, iterator: Any) -> Any:
        """Train on a batch, or on as many as Keras takes at a time."""
        if not self.armed:
            return self._model.make_train_function(force=True)(iterator)
        self.armed = False
        optimizer = self._model.optimizer
        optimizers.spare_search(optimizer)
        for layer in self.layers:
            layer.watch(True, loss_scale_of(optimizer))
        try:
            return self._function(iterator)
        finally:
            for layer in self.layers:
                layer.watch(False)
            optimizers.search_again(optimizer)


def loss_scale_of(
    optimizer: keras.optimizers.Optimizer,
) -> Callable[[], tf.Tensor] | None:
    """Gives what Keras multiplies a loss by, if its optimiser does; it may change."""
    if not isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        return None
    return lambda: optimizer.loss_scale


def prepare(model: keras.Model) -> None:
    """Have the next `fit` trace its steps anew: those traced earlier record nothing.

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
    model.train_function = None


def arm(model: keras.Model, layers: Sequence[SparseLayer]) -> None:
    """The next step of `fit`, and no other, feeds the recorders of `layers`."""
    function = model.train_function
    if not isinstance(function, WatchedFunction) or function.layers != layers:
        if function is None or isinstance(function, WatchedFunction):
            function = model.make_train_function(force=True)
        model.train_function = function = WatchedFunction(model, layers, function)
    function.armed = True


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
