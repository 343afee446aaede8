"""Let the look-ups of a training step, and of no other call, feed the recorders."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf import optimizers
from dsl_tf.errors import UserError
from dsl_tf.layers.base import SparseLayer
from dsl_tf.storage import slots


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
    mirrored = isinstance(strategy, tf.distribute.MirroredStrategy)
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
