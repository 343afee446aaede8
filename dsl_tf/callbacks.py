"""Dynamic sparse training of any Keras model by plain `fit`."""

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf import streams
from dsl_tf.errors import UserError
from dsl_tf.layers.base import SparseLayer
from dsl_tf.sparsity import growth, pruning, schedule
from dsl_tf.sparsity.exploration import explore
from dsl_tf.storage import slots
from dsl_tf.storage.base import SparseWeight


@dataclasses.dataclass(frozen=True)
class ExchangeRecord:
    """What one exploration did in one weight.

    Attributes:
      step: optimiser steps done.
      weight: `<layer>/<weight>`.
      update_ratio: ρ_t.
      asked: weights to exchange, round(ρ_t · nnz).
      offered: inactive positions with a growth score.
      done: weights that left, and as many that entered.
      horizon: steps whose gradients were summed.
    """

    step: int
    weight: str
    update_ratio: float
    asked: int
    offered: int
    done: int
    horizon: int


class DynamicSparseTraining(keras.callbacks.Callback):
    """Moves the weights of sparse layers to where they are needed.

    Works with any `tf_keras.Model` that has layers of `dsl_tf.layers`, trained
    by `fit`. After optimiser step t, when t is a multiple of the update
    interval and below the end step, each sparse weight exchanges the share ρ_t
    of its active positions: those of least magnitude leave, and inactive
    positions of greatest gradient enter (DSL, Algorithm 1).

    Args:
      initial_update_ratio: ρ_0, in [0, 1].
      update_interval: ΔT, in optimiser steps.
      end_step: T_end, in optimiser steps; None takes the end of `fit`, which
        must then know its number of steps.
      decay: `"cosine"` (the paper's), `"linear"`, `"constant"` or `"none"`.
      prune_criterion: scores active values; the lowest leave.
      grow_criterion: scores recorded gradients; the highest enter.
      horizon: steps of gradient summed before an exploration, or `"auto"`: the
        last steps of the interval, enough for twice as many inactive positions
        with a gradient as are asked for. 1 is the paper's.
      recorder_rows: the most rows whose gradient is held, for each weight.
      exploration_replaces_step: undo the optimiser step on which an
        exploration falls (Algorithm 1 read literally).
      seed: seeds criteria that draw at random.

    Attributes:
      records: one `ExchangeRecord` for each weight and exploration.

    Raises:
      UserError: settings out of range, or an interval that
        `steps_per_execution` does not divide.
    """

    def __init__(
        self,
        initial_update_ratio: float = 0.5,
        update_interval: int = 100,
        end_step: int | None = None,
        decay: str = "cosine",
        prune_criterion: pruning.PruneCriterion = pruning.magnitude,
        grow_criterion: growth.GrowCriterion = growth.gradient,
        horizon: int | str = "auto",
        recorder_rows: int = 65536,
        exploration_replaces_step: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if horizon != "auto" and not (isinstance(horizon, int) and horizon >= 1):
            raise UserError(
                "`horizon` must be 'auto' or a number of steps of at least 1. "
                f"Received: horizon={horizon!r}."
            )
        self._supports_tf_logs = True  # spares a copy of the logs every step
        self._settings = {
            "name": decay,
            "initial_update_ratio": initial_update_ratio,
            "update_interval": update_interval,
        }
        self._end_step = end_step
        self._prune_criterion = prune_criterion
        self._grow_criterion = grow_criterion
        self._horizon = horizon
        self._recorder_rows = recorder_rows
        self._replaces_step = exploration_replaces_step
        self._seed = seed
        self._snapshot: list[tuple[tf.Variable, tf.Tensor]] = []
        self.records: list[ExchangeRecord] = []
        #: Steps that the next exploration sums over; 0 = not yet known.
        self.next_horizon = 0 if horizon == "auto" else int(horizon)

    # What fit calls.

    def set_model(self, model: keras.Model) -> None:
        """Ask the sparse layers for recorders before `fit` traces the step."""
        super().set_model(model)
        layers = [x for x in model._flatten_layers() if isinstance(x, SparseLayer)]
        if not layers:
            raise UserError(
                "DynamicSparseTraining needs a model with a layer of "
                f"dsl_tf.layers. Received: {model.name!r}, which has none."
            )
        for layer in layers:
            layer.record_gradients(self._recorder_rows)
        self._layers = layers
        model.train_function = None  # a step traced earlier records nothing

    def on_train_begin(self, logs: Any = None) -> None:
        """Fix the schedule."""
        end_step = self._end_step
        if end_step is None:
            steps = self.params.get("steps")
            if steps is None and self._settings["name"] != "none":
                raise UserError(
                    "`end_step` must be given where `fit` does not know its number "
                    "of steps. Received: end_step=None, steps_per_epoch=None."
                )
            end_step = self._step() + (steps or 1) * self.params["epochs"]
        self.schedule = schedule.from_config({**self._settings, "end_step": end_step})
        self._check_steps_per_execution()
        self._arm(self._step())

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Watch gradients; keep what a step that is replaced has to restore."""
        for layer in self._layers:
            layer.watch(True)
        if self._replaces_step and self.schedule(self._step() + 1) > 0:
            kept = [*self.model.trainable_variables, *self.model.optimizer.variables]
            iterations = self.model.optimizer.iterations
            self._snapshot = [
                (variable, tf.identity(variable))
                for variable in kept
                if variable is not iterations
            ]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Explore where an exploration is due."""
        for layer in self._layers:
            layer.watch(False)
        step = self._step()
        update_ratio = self.schedule(step)
        if update_ratio > 0:
            for variable, value in self._snapshot:
                variable.assign(value)
            self._snapshot = []
            self._explore(step, update_ratio)
        self._arm(step)

    # What it does.

    def sparse_weights(self) -> dict[str, SparseWeight]:
        """`<layer>/<weight>` to weight, in the order of the layers."""
        return {
            f"{layer.name}/{weight.name}": weight
            for layer in self._layers
            for weight in layer.own_sparse_weights
        }

    def recorders(self) -> dict[str, tf.Module]:
        """Name to gradient recorder, for a checkpoint in mid-interval."""
        weights = self.sparse_weights().items()
        return {name: weight.recorder for name, weight in weights if weight.recorder}

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to hold beside the recorders; JSON-ready."""
        return {
            "next_horizon": self.next_horizon,
            "records": [dataclasses.asdict(record) for record in self.records],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self.next_horizon = state["next_horizon"]
        self.records = [ExchangeRecord(**record) for record in state["records"]]

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    def _explore(self, step: int, update_ratio: float) -> None:
        for name, weight in self.sparse_weights().items():
            generator = streams.generator(self._seed, f"growth/{name}/{step}")
            recorder = weight.recorder
            assert recorder is not None  # set_model gave every weight one
            rows, gradients = (tensor.numpy() for tensor in recorder.recorded())
            exchange = explore(
                weight.positions(),
                self._prune_criterion(weight.active_values()),
                rows,
                weight.mask(rows),
                self._grow_criterion(gradients, generator),
                update_ratio,
            )
            weight.adopt(exchange, slots.find(self.model.optimizer, weight.values))
            recorder.clear()
            self.records.append(
                ExchangeRecord(
                    step=step,
                    weight=name,
                    update_ratio=update_ratio,
                    asked=exchange.asked,
                    offered=exchange.offered,
                    done=len(exchange.grown),
                    horizon=self.next_horizon,
                )
            )
        self._learn_horizon(self.records[-len(self.sparse_weights()) :])

    def _arm(self, step: int) -> None:
        """Switch the recorders for the next step."""
        following = self.schedule.next_exploration(step)
        if following is None:
            return
        # The very first step is a probe: it tells how many rows a step touches.
        if self.next_horizon == 0 and step > 0:
            self._estimate_horizon(following)
        probing = self.next_horizon == 0
        recording = probing or following - step <= self.next_horizon
        for recorder in self.recorders().values():
            recorder.recording.assign(recording)

    def _estimate_horizon(self, following: int) -> None:
        """From the rows that the probed step touched, the steps needed.

        If a step touches u of n rows, h steps touch about n(1 - (1 - u/n)^h).
        """
        longest = 1
        update_ratio = self.schedule(following)
        for weight in self.sparse_weights().values():
            assert weight.recorder is not None
            touched = len(weight.recorder.recorded()[0])
            weight.recorder.clear()
            rows, width = weight.shape
            inactive_per_row = max(width * weight.sparsity, 1e-9)
            wanted = 2 * update_ratio * weight.nnz / inactive_per_row
            if touched == 0:
                continue
            if wanted >= min(rows, weight.recorder.capacity) or touched >= rows:
                steps = following if wanted > touched else 1
            else:
                steps = math.ceil(math.log1p(-wanted / rows) / math.log1p(-touched / rows))
            longest = max(longest, steps)
        self.next_horizon = self._fitting(longest)

    def _learn_horizon(self, records: list[ExchangeRecord]) -> None:
        """Sum over more steps where the last exploration had too few candidates."""
        short = [r for r in records if 2 * r.offered < r.asked]
        if short:
            worst = min(short, key=lambda r: r.offered / r.asked)
            warnings.warn(
                f"Step {worst.step}, {worst.weight}: {worst.offered} positions had a "
                f"gradient where {worst.asked} were asked for; a longer horizon or "
                "update interval offers more.",
                stacklevel=2,
            )
        if self._horizon == "auto" and any(r.offered < 2 * r.asked for r in records):
            self.next_horizon = self._fitting(2 * self.next_horizon)

    def _fitting(self, steps: int) -> int:
        """At most the interval, and a multiple of `steps_per_execution`."""
        each = self._steps_per_execution()
        return min(math.ceil(steps / each) * each, self.schedule.update_interval)

    def _steps_per_execution(self) -> int:
        steps = getattr(self.model, "_steps_per_execution", None)
        return 1 if steps is None else int(np.asarray(steps))

    def _check_steps_per_execution(self) -> None:
        each = self._steps_per_execution()
        for name, steps in (
            ("update_interval", self.schedule.update_interval),
            ("horizon", each if self._horizon == "auto" else self._horizon),
        ):
            if self.schedule.initial_update_ratio and int(steps) % each:
                raise UserError(
                    f"`steps_per_execution` must divide `{name}`. Received: "
                    f"steps_per_execution={each}, {name}={steps}."
                )
