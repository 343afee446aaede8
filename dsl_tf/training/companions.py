"""What goes along with a training pass and changes its model by itself."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from dsl_tf.accounting import macs
from dsl_tf.accounting import size as sizes
from dsl_tf.accounting.macs import Layers, TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.types import LayerMacs, StepSize


class Companion:
    """A callback with what a run has to know of it.

    What it holds must be in `tensors` or `state`: a run goes on bit for bit.

    Args:
      callback: has its model before the others, and its turn before them.
    """

    def __init__(self, callback: keras.callbacks.Callback) -> None:
        self.callback = callback

    def tensors(self) -> Mapping[str, tf.Module]:
        """Variables of its own that a checkpoint has to hold, once it has a model."""
        return {}

    def state(self) -> dict[str, Any]:
        """What else a checkpoint has to hold; JSON-ready."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        del state

    def row(self, since: int) -> dict[str, Any]:
        """Columns of the history for the steps after `since`."""
        del since
        return {}

    def macs(self, steps: int, size: StepSize) -> Layers:
        """What it multiplied and added itself in so many steps of a size, by parts.

        Where it changed the density of the tables, the layers of the model are among
        the parts, which are otherwise taken at the densities of the end.
        """
        del steps, size
        return {}

    def variables(self) -> list[tf.Variable]:
        """Those of `tensors`, for the account of memory."""
        return [v for each in self.tensors().values() for v in each.variables]

    @property
    def held_bytes(self) -> int:
        """Of numbers that it holds in a step and that are no variables."""
        return 0

    def selectable(self) -> bool:
        """Whether the model as it is now may be the one that is handed back.

        After the last epoch it may in any case.
        """
        return True

    def done(self) -> bool:
        """Whether a pass ends after this epoch, unless its steps are given."""
        return False


class Spells:
    """What the layers of a model took while the density of its tables changed.

    Each spell counts from the one before; JSON has them all.
    """

    def __init__(self) -> None:
        self._spells: list[tuple[int, dict[str, LayerMacs]]] = []

    def end(self, step: int, model: Backbone) -> None:
        """A spell ends after so many steps of the pass, with the densities of now."""
        self._spells.append((step, macs.of_steps(model)))

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        spells = [
            [step, {name: [*map(float, taken)] for name, taken in layers.items()}]
            for step, layers in self._spells
        ]
        return {"spells": spells}

    def restore(self, state: dict[str, Any]) -> None:
        """As it was in `state()`."""
        self._spells = [
            (step, {name: LayerMacs(*values) for name, values in layers.items()})
            for step, layers in state["spells"]
        ]

    def macs(self, model: Backbone, steps: int, size: StepSize) -> Layers:
        """Of the layers in a pass of so many steps; the last are at today's densities.

        Args:
          model: as the pass left it.
          steps: of the pass.
          size: of a step.
        """
        each: dict[str, list[TrainingMacs]] = {}
        before = 0
        for step, layers in [*self._spells, (steps, macs.of_steps(model))]:
            for name, taken in macs.training(layers, step - before, size).items():
                each.setdefault(name, []).append(taken)
            before = step
        return {name: macs.summed(taken) for name, taken in each.items()}


class Thinning(Companion):
    """Makes the tables sparser in a pass, whose layers are counted by spells.

    Args:
      callback: see `Companion`.
      spells: of the pass; what changes the density ends them.
    """

    def __init__(self, callback: keras.callbacks.Callback, spells: Spells) -> None:
        super().__init__(callback)
        self._spells = spells

    def state(self) -> dict[str, Any]:
        """The spells so far."""
        return self._spells.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self._spells.restore(state)

    def macs(self, steps: int, size: StepSize) -> Layers:
        """The layers', spell by spell."""
        return self._spells.macs(self.callback.model, steps, size)


class Explorations(Companion):
    """Dynamic sparse training, with its exchanges in the history.

    Args:
      dynamic: moves the weights.
    """

    def __init__(self, dynamic: DynamicSparseTraining) -> None:
        super().__init__(dynamic)
        self._dynamic = dynamic

    def tensors(self) -> Mapping[str, tf.Module]:
        """The gradient recorders."""
        return self._dynamic.recorders()

    def state(self) -> dict[str, Any]:
        """What the callback remembers of its explorations."""
        return self._dynamic.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self._dynamic.restore(state)

    def macs(self, steps: int, size: StepSize) -> Layers:
        """Gradients of positions without a weight, in the steps before explorations."""
        del steps
        recorded = {each.step: each.horizon for each in self._dynamic.records}
        each_step = macs.elsewhere(self._dynamic.model, size)
        return {"exploration": TrainingMacs(0, sum(recorded.values()) * each_step, 0)}

    @property
    def held_bytes(self) -> int:
        """Of what a step that is replaced is undone from."""
        return sizes.variable_bytes(self._dynamic.replaced())

    def row(self, since: int) -> dict[str, Any]:
        """The last update ratio, the non-zeros, and the exchanges summed."""
        records = [each for each in self._dynamic.records if each.step > since]
        # Not those of the callback, which leaves out tables with all their weights.
        weights = self._dynamic.model.sparse_weights()
        return {
            "update_ratio": records[-1].update_ratio if records else 0.0,
            "nnz": sum(weight.nnz for weight in weights),
            "exchange_asked": sum(each.asked for each in records),
            "exchange_offered": sum(each.offered for each in records),
            "exchange_done": sum(each.done for each in records),
        }
