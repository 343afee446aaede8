"""Dynamic sparse training of any Keras model by plain `fit`."""

import dataclasses
import math
import warnings
import weakref
from typing import Any

import tensorflow as tf
import tf_keras as keras

from dsl_tf import streams
from dsl_tf.accounting import size
from dsl_tf.errors import UserError
from dsl_tf.layers import moments, notices, watching
from dsl_tf.layers.base import SparseLayer, named_weights
from dsl_tf.layers.exploring import SECOND_MOMENTS, batches_needed, explore_weight
from dsl_tf.plugins import choose
from dsl_tf.sparsity import growth, pruning, schedule
from dsl_tf.sparsity import horizon as horizons
from dsl_tf.storage.base import SparseWeight
from dsl_tf.storage.recorder import GradientRecorder
from dsl_tf.types import ExchangeRecord


class DynamicSparseTraining(keras.callbacks.Callback):
    """Moves the weights of sparse layers to where they are needed.

    Works with any `tf_keras.Model` that has layers of `dsl_tf.layers`, trained
    by `fit`. After optimiser step t, when t is a multiple of the update
    interval and below the end step, each sparse weight exchanges the share ρ_t
    of its active positions: those of least magnitude leave, and inactive
    positions of greatest gradient enter (DSL, Algorithm 1). Layers that are not
    trainable stay as they are. A layer in a loop of TensorFlow, such as the cell of an
    RNN, must not be: the gradients there cannot be recorded.

    Args:
      initial_update_ratio: ρ_0, in [0, 1].
      update_interval: ΔT, in optimiser steps.
      end_step: T_end, in optimiser steps; None takes the end of `fit`, which
        must then know its number of steps. Give it where `fit` is called
        several times for one training.
      decay: `"cosine"` (the paper's), `"linear"`, `"constant"` or `"none"`.
      prune_criterion: scores active values; the lowest leave. Or the name of one.
      grow_criterion: scores recorded gradients; the highest enter. None, or
        `"random"`: any inactive positions enter, drawn, and no gradient is recorded.
      horizon: steps of gradient summed before an exploration, or `"auto"`: the
        last steps of the interval, enough for twice as many inactive positions
        with a gradient as are asked for. 1 is the paper's.
      recorder_rows: the most rows whose gradient is held, for each weight.
      sampled_rows: the share of a weight's rows that can grow at all, drawn anew
        for each exploration in proportion to their use (SparseRec); 1 is all.
      exploration_replaces_step: undo the optimiser step on which an
        exploration falls (Algorithm 1 read literally); takes memory for a copy
        of weights and moments.
      second_moment: what the squared gradients that an optimiser keeps of a grown
        weight begin with: `"zero"`, or `"row"`, the mean of its row.
      seed: seeds criteria that draw at random.

    Attributes:
      records: one `ExchangeRecord` for each weight and exploration.
      schedule: gives ρ_t; final from the first epoch on.
      next_horizon: steps the next exploration sums over; 0: none, or not yet known.

    Raises:
      UserError: settings out of range, at once; those that do not fit the
        model or its `fit`, when that begins.
    """

    def __init__(
        self,
        initial_update_ratio: float = 0.5,
        update_interval: int = 100,
        end_step: int | None = None,
        decay: str = "cosine",
        prune_criterion: pruning.PruneCriterion | str = pruning.magnitude,
        grow_criterion: growth.GrowCriterion | str | None = growth.gradient,
        horizon: int | str = "auto",
        recorder_rows: int = 65536,
        sampled_rows: float = 1.0,
        exploration_replaces_step: bool = False,
        second_moment: str = "zero",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._settings = {
            "name": decay,
            "initial_update_ratio": initial_update_ratio,
            "update_interval": update_interval,
        }
        if recorder_rows < 1 or not 0 < sampled_rows <= 1:
            raise UserError(
                "`recorder_rows` must be at least 1 and `sampled_rows` in (0, 1]. "
                f"Received: recorder_rows={recorder_rows}, "
                f"sampled_rows={sampled_rows}."
            )
        # Checks the settings; the end may only be known when `fit` begins.
        end = math.inf if end_step is None else end_step
        self.schedule = schedule.from_config({**self._settings, "end_step": end})
        horizons.check(horizon, update_interval)
        self._supports_tf_logs = True  # spares a copy of the logs every step
        self._end_step = end_step
        self._prune_criterion = pruning.given(prune_criterion)
        self._grow_criterion = growth.given(grow_criterion)
        self._horizon = horizon
        self._recorder_rows = recorder_rows
        self._sampled_rows = sampled_rows
        self._replaces_step = exploration_replaces_step
        self._second_moment = choose(SECOND_MOMENTS, second_moment, "second_moment")
        self._seed = seed
        self._snapshot: list[tuple[tf.Variable, tf.Tensor]] = []
        self._layers: list[SparseLayer] = []
        self._warned: set[str] = set()
        self._met: weakref.ref[keras.Model] | None = None
        self._planned = False
        self._recording: bool | None = None
        self._following: int | None = None
        self._seen_step = 0
        self.records: list[ExchangeRecord] = []
        recorded = horizon != "auto" and self._grow_criterion is not None
        self.next_horizon = int(horizon) if recorded else 0

    def set_model(self, model: keras.Model) -> None:
        """Give the sparse layers recorders before `fit` traces the step."""
        super().set_model(model)
        layers = [x for x in model._flatten_layers() if isinstance(x, SparseLayer)]
        if not layers:
            raise UserError(
                "DynamicSparseTraining needs a model with a layer of "
                f"dsl_tf.layers. Received: {model.name!r}, which has none."
            )
        # Where nothing is pruned there is no place to move a weight to.
        self._layers = [each for each in layers if each.trainable and each.sparsity]
        moves = self._grow_criterion and self.schedule.initial_update_ratio
        for layer in self._layers if moves else ():
            layer.record_gradients(self._recorder_rows, self._sampled_rows)
        if self._met is None or self._met() is not model:
            # What another callback began to sum is not of this one's interval.
            self._met = weakref.ref(model)
            for recorder in self.recorders().values():
                recorder.clear()
        watching.prepare(model)

    def on_train_begin(self, logs: Any = None) -> None:
        """The first epoch, which tells how many there are, plans."""
        self._planned = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Fix the schedule, before the first epoch."""
        if self._planned:
            return
        self._planned = True
        self._recording = self._following = None  # a checkpoint may have changed them
        step = self._seen_step = self._step()
        kept_by = watching.optimizers_of(self.model)
        moments.take_up(self.sparse_weights(), kept_by, step)
        end_step = self._end_step
        if end_step is None:
            asked = bool(self.schedule.initial_update_ratio)
            end_step = step + watching.steps_left(self.params, epoch, asked)
        self.schedule = schedule.from_config({**self._settings, "end_step": end_step})
        if self.schedule.initial_update_ratio:
            spans = {"update_interval": self.schedule.update_interval}
            spans |= {} if self._horizon == "auto" else {"horizon": int(self._horizon)}
            watching.check(self.model, spans, self._replaces_step)
            if self._end_step is None and self.schedule.next_exploration(step) is None:
                text = notices.no_exploration(step, self.schedule)
                warnings.warn(text, stacklevel=2)
        self._arm(step)
        size.release_free()  # what building the layers left behind

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Watch the step, and keep what has to be restored if it is replaced."""
        watching.arm(self.model, self._layers)
        if self._replaces_step and self.schedule(self._step() + 1) > 0:
            self._snapshot = [(each, tf.identity(each)) for each in self.replaced()]

    def replaced(self) -> list[tf.Variable]:
        """What is undone of a step that an exploration replaces, but its count."""
        model = self.model
        kept = [v for each in watching.optimizers_of(model) for v in each.variables()]
        every = [*model.trainable_variables, *kept]
        return [v for v in every if self._replaces_step and v.dtype.is_floating]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Explore where an exploration is due."""
        step = self._step()
        if step == self._seen_step:
            return  # the optimiser did not count it: gradients gather
        due = self.schedule.next_exploration(self._seen_step)
        if due is not None:
            if self.next_horizon == 0:
                self._estimate_horizon(due, step - self._seen_step)
            # Keras may count a step that found no more data, and pass by `due`.
            if due <= step:
                for variable, value in self._snapshot:
                    variable.assign(value)
                self._explore(step, self.schedule(due))
                size.release_free()
        self._snapshot = []
        self._seen_step = step
        self._arm(step)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """See that there are steps to count."""
        if self.schedule.initial_update_ratio and not self._step():
            warnings.warn(notices.NO_STEP, stacklevel=2)

    def on_train_end(self, logs: Any = None) -> None:
        """Leave the model as it was found."""
        moments.leave(self.sparse_weights(), self._step())
        self.model.train_function = None

    def sparse_weights(self) -> dict[str, SparseWeight]:
        """`<layer>/<weight>` to weight, in the order of the layers."""
        return named_weights(self._layers)

    def recorders(self) -> dict[str, GradientRecorder]:
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
        short = False
        for name, weight in self.sparse_weights().items():
            generator = streams.generator(self._seed, f"growth/{name}/{step}")
            exchange, rows = explore_weight(
                weight,
                watching.optimizers_of(self.model),
                self._prune_criterion,
                self._grow_criterion,
                update_ratio,
                generator,
                self._second_moment,
            )
            moments.note(weight, step)
            done = exchange.asked, exchange.offered, len(exchange.grown)
            record = ExchangeRecord(step, name, update_ratio, *done, self.next_horizon)
            self.records.append(record)
            capacity = weight.recorder.capacity if weight.recorder else 0
            more_would_help = rows < min(weight.shape[0], capacity)
            possible = min(exchange.asked, math.prod(weight.shape) - weight.nnz)
            short |= more_would_help and exchange.offered < 2 * possible
            if 2 * exchange.offered < possible and name not in self._warned:
                self._warned.add(name)  # `records` tell of the later ones
                recorded = bool(rows) or self._grow_criterion is None
                text = notices.few_offered(step, name, exchange, recorded)
                warnings.warn(text, stacklevel=2)
        if self._horizon == "auto" and short:
            self.next_horizon = self._fitting(2 * self.next_horizon)

    def _arm(self, step: int) -> None:
        """Switch the recorders for the next step."""
        following = self.schedule.next_exploration(step)
        # With the horizon unknown, the first steps are a probe: they tell how
        # many rows a step touches.
        probing = self.next_horizon == 0
        recording = following is not None and (
            probing or following - step <= self.next_horizon
        )
        for layer in self._layers if recording and following != self._following else ():
            stream = f"rows/{layer.name}/{following}"
            layer.resample(streams.generator(self._seed, stream))
        self._following = following
        if recording != self._recording:
            self._recording = recording
            for layer in self._layers:
                layer.record(recording)
            if not recording:
                for recorder in self.recorders().values():
                    recorder.clear()

    def _estimate_horizon(self, due: int, steps: int) -> None:
        """From the rows that the `steps` probed touched, the steps needed."""
        weights = self.sparse_weights().values()
        ratio = self.schedule(due)
        batches = max((batches_needed(each, ratio) for each in weights), default=0.0)
        if batches:
            self.next_horizon = self._fitting(steps * batches)

    def _fitting(self, steps: float) -> int:
        """At most the interval, and a multiple of `steps_per_execution`."""
        each = watching.steps_per_execution(self.model)
        interval = self.schedule.update_interval
        return math.ceil(min(steps, interval) / each) * each
