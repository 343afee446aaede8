"""Optimisers by name: Keras's own, and a lazy Adam for tables."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.plugins import choose

#: A gradient as Keras hands it to an optimiser.
Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices | None


@keras.utils.register_keras_serializable("dsl_tf")
class LazyAdam(keras.optimizers.Adam):
    """Adam that leaves alone the rows which a step does not touch.

    Keras's Adam passes over the whole table in every step: it decays the moments
    of every row, and moves every row that ever had a gradient. Here moments and
    weights of rows without a gradient stay as they are, so a step costs O(rows
    touched · width), whatever the size of the table, in every storage. Dense
    gradients are treated as Keras treats them.

    In the first step the two are equal, bit for bit. After it a row that comes
    back after t steps has moments that were not decayed t times, and was not
    moved by its old momentum meanwhile; the bias correction counts all steps, as
    in Keras. TensorFlow Addons' optimiser of this name did the same.

    Arguments are those of `keras.optimizers.Adam`. `weight_decay` and `use_ema`
    pass over all rows in every step, as Keras applies them outside.
    """

    def update_step(self, gradient: Gradient, variable: tf.Variable) -> None:
        """One step for one variable."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        place = self._index_dict[self._var_key(variable)]
        values, rows, dtype = gradient.values, gradient.indices, variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        correction = tf.sqrt(1 - tf.pow(tf.cast(self.beta_2, dtype), step))
        correction /= 1 - tf.pow(tf.cast(self.beta_1, dtype), step)

        def moved(
            moments: Sequence[tf.Variable], towards: tf.Tensor, decay: float
        ) -> tf.Tensor:
            """Keras's arithmetic, on the rows."""
            old = tf.gather(moments[place], rows)
            new = old + -old * (1 - decay) + towards * (1 - decay)
            moments[place].scatter_update(tf.IndexedSlices(new, rows))
            return new

        m = moved(self._momentums, values, self.beta_1)
        v = moved(self._velocities, tf.square(values), self.beta_2)
        if self.amsgrad:
            highest = self._velocity_hats[place]
            v = tf.maximum(tf.gather(highest, rows), v)
            highest.scatter_update(tf.IndexedSlices(v, rows))
        alpha = tf.cast(self.learning_rate, dtype) * correction
        # Not `scatter_sub`, which on single elements takes four times as long.
        new = tf.gather(variable, rows) - (m * alpha) / (tf.sqrt(v) + self.epsilon)
        variable.scatter_update(tf.IndexedSlices(new, rows))

    def _deduplicate_sparse_grad(self, grads: Sequence[Gradient]) -> list[Gradient]:
        return _summed(grads, super()._deduplicate_sparse_grad)


def spare_search(optimizer: keras.optimizers.Optimizer) -> None:
    """Let a Keras optimiser sum gradients of equal indices only where there are some.

    Keras looks for them in a hash table. For the single elements of a packed
    table this costs more than all the rest of a step, and finds nothing. The
    weights after a step are the same bit for bit.

    Args:
      optimizer: any; legacy optimisers, which search elsewhere, stay as they are.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    search = getattr(optimizer, "_deduplicate_sparse_grad", None)
    if not (
        search is None or hasattr(search, "spared") or isinstance(optimizer, LazyAdam)
    ):

        def spared(grads: Sequence[Gradient]) -> list[Gradient]:
            return _summed(grads, search)

        spared.spared = True  # type: ignore[attr-defined]
        optimizer._deduplicate_sparse_grad = spared


def search_again(optimizer: keras.optimizers.Optimizer) -> None:
    """Undo `spare_search`."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    vars(optimizer).pop("_deduplicate_sparse_grad", None)


def _summed(
    gradients: Sequence[Gradient],
    search: Callable[[Sequence[Gradient]], list[Gradient]],
) -> list[Gradient]:
    """Gradients with each index once; `search` is asked where that is in doubt."""

    def summed(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
        def searched() -> tuple[tf.Tensor, tf.Tensor]:
            found: Any = search([gradient])[0]
            return found.values, found.indices

        values, indices = tf.cond(
            _is_rotated_ascending(gradient.indices),
            lambda: (gradient.values, gradient.indices),
            searched,
        )
        return tf.IndexedSlices(values, indices, gradient.dense_shape)

    return [
        summed(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient
        for gradient in gradients
    ]


def _is_rotated_ascending(indices: tf.Tensor) -> tf.Tensor:
    """Whether indices [n] ascend strictly, or would with their end put first.

    Then each is there once. So come the gradients of a sparse table, whose
    look-ups sort their rows, and of two look-ups in one joint table.
    """
    breaks = tf.math.count_nonzero(indices[1:] <= indices[:-1])
    one_break = tf.logical_and(breaks == 1, tf.reduce_all(indices[-1:] < indices[:1]))
    return tf.logical_or(breaks == 0, one_break)


#: Names of schedules, to how the rate falls from its first value over the steps.
_RATES: dict[str, Callable[[float, int], Any]] = {
    "constant": lambda rate, _: rate,
    "cosine": lambda rate, steps: keras.optimizers.schedules.CosineDecay(rate, steps),
}


def make(
    name: str,
    learning_rate: float,
    schedule: str = "constant",
    steps: int = 1,
    beta_2: float = 0.999,
) -> keras.optimizers.Optimizer:
    """An optimiser by name.

    Args:
      name: `"lazy_adam"`, or a Keras optimiser, such as `"adam"`, `"adagrad"`
        or `"sgd"`.
      learning_rate: above 0; the first one, with a schedule.
      schedule: `"constant"`, or `"cosine"`: falls to 0 over the steps.
      steps: optimiser steps planned.
      beta_2: decay of the second moment, in [0, 1); for those that have one.

    Raises:
      UserError: there is no such optimiser or schedule, or a number is out of range.
    """
    if not 0 <= beta_2 < 1:
        raise UserError(f"`optimizer.beta_2` must be in [0, 1). Received: {beta_2}.")
    if not learning_rate > 0:
        raise UserError(
            f"`train.learning_rate` must be above 0. Received: {learning_rate}."
        )
    rate = choose(_RATES, schedule, "train.learning_rate_schedule")
    rate = rate(learning_rate, steps)
    if name == "lazy_adam":
        return LazyAdam(rate, beta_2=beta_2)
    # Without the second key Keras reads the settings as those of TF 2.10.
    settings = {"learning_rate": rate, "is_legacy_optimizer": False}
    try:
        optimizer = keras.optimizers.get({"class_name": name, "config": settings})
    except ValueError as error:
        raise UserError(
            "`optimizer.name` must be lazy_adam or a Keras optimiser, such as adam, "
            f"adagrad or sgd. Received: {name!r}."
        ) from error
    if hasattr(optimizer, "beta_2"):
        optimizer.beta_2 = beta_2
    spare_search(optimizer)
    return optimizer
