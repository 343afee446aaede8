"""What a model cost to train and costs to use: the content of `cost.json`."""

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from dsl_tf.accounting import macs, published, size
from dsl_tf.accounting.macs import Layers, TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError
from dsl_tf.layers.tables import Tables
from dsl_tf.training.companions import Companion
from dsl_tf.training.state import TrainingState
from dsl_tf.types import StepSize

#: What a run's cost report is called in its folder.
FILE = "cost.json"


@dataclasses.dataclass(frozen=True)
class PassCost:
    """One training pass.

    Attributes:
      name: what the method calls it.
      steps: optimiser steps.
      epochs: that it finished.
      seconds: wall time, validation included, over every resume.
      peak_rss_bytes: the most memory of the process in the pass; where the
        system cannot tell (not Linux), since its start.
      size: of a step.
      layers: multiply-accumulates by layer, at the densities of its end.
      state_bytes: of the variables of its model (masks too), of the optimiser, of the
        gradient recorders, of what else its companion holds, such as what a step is
        undone from, of what is held to learn from, such as a teacher's vectors, and of
        what the method holds meanwhile, such as weights to rewind to; as stored.
      as_published: multiply-accumulates as the paper counts; see
        `accounting.published`.
      read_from: the folder of another run that took it before and whose measurements
        these are; "" where it was taken, and measured, by this one.
    """

    name: str
    steps: int
    epochs: int
    seconds: float
    peak_rss_bytes: int
    size: StepSize
    layers: Layers
    state_bytes: int
    as_published: float
    read_from: str = ""

    @property
    def macs(self) -> TrainingMacs:
        """What it took, all layers together."""
        return macs.summed(self.layers.values())


def of_pass(
    name: str,
    model: Backbone,
    state: TrainingState,
    step: StepSize,
    companion: Companion | None = None,
    held_bytes: int = 0,
) -> PassCost:
    """What a pass took.

    Args:
      name: what the method calls it.
      model: as the pass left it, compiled with the optimiser that trained it.
      state: how it ended.
      step: what each of its steps took in.
      companion: that went along with it.
      held_bytes: of what the method held meanwhile.
    """
    steps = state.history[-1]["step"]
    layers = macs.of_steps(model)
    taken = macs.of_pass(model, layers, steps, step)
    variables = [*model.variables, *model.optimizer.variables]
    variables += _recorder_variables(model)
    held = held_bytes + sum(term.held_bytes for term in model.loss_terms)
    if companion is not None:
        taken |= companion.macs(steps, step)
        variables += companion.variables()
        held += companion.held_bytes
    return PassCost(
        name=name,
        steps=steps,
        epochs=state.epochs,
        seconds=round(state.seconds, 3),
        peak_rss_bytes=state.peak_rss_bytes,
        size=step,
        layers=taken,
        state_bytes=size.variable_bytes(variables) + held,
        as_published=published.training(
            model, layers, _weights(model).density, steps, step
        ),
        read_from=state.read_from,
    )


def untrained(
    name: str,
    seconds: float,
    peak_rss_bytes: int,
    taken: TrainingMacs,
    state_bytes: int = 0,
) -> PassCost:
    """What a pass took that has no steps; see `PassCost`."""
    nothing = StepSize(0, 0, 0, 0)
    layers = {"no training": taken}
    return PassCost(
        name, 0, 1, seconds, peak_rss_bytes, nothing, layers, state_bytes, 0.0
    )


def read_passes(folder: Path) -> list[PassCost]:
    """The passes of another run, as its report has them.

    Args:
      folder: of the run.

    Raises:
      UserError: it has no report, or one that is not whole.
    """
    try:
        report = json.loads((folder / FILE).read_text("utf-8"))
        return [_read_pass(each, str(folder)) for each in report["training"]["passes"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            "A run that is learnt from must be finished, with the passes that it took "
            f"in its {FILE}. Received: {folder}."
        ) from None


def _read_pass(content: dict[str, Any], folder: str) -> PassCost:
    names = {field.name for field in dataclasses.fields(PassCost)}
    known = {name: value for name, value in content.items() if name in names}
    known["size"] = StepSize(**content["size"])
    known["layers"] = {
        name: TrainingMacs(**taken) for name, taken in content["layers"].items()
    }
    return PassCost(**known | {"read_from": content.get("read_from") or folder})


def report(
    model: Backbone, passes: list[PassCost], base_rss_bytes: int
) -> dict[str, Any]:
    """Parameters, tensors, training and inference; files are added by the export.

    `sparsity` = 1 - non-zeros / positions over the masked tensors. `state_bytes`
    = Σ elements · bytes as stored, of the pass with the most; `activation_bytes` those
    of whole tables that are dense in a step, of the trained backbone; `table_bytes` the
    same over the user and item tables. MACs: see `accounting.macs`. Seconds and memory
    are measured; memory includes `base_rss_bytes`, the process after its imports.
    `as_published`: see `accounting.published`. Passes that another run took before are
    in all of this as that run's report has them.

    Args:
      model: trained.
      passes: every pass over data, in order.
      base_rss_bytes: resident memory after the imports.
    """
    weights = _weights(model)
    sparse = model.sparse_weights()
    positions = sum(w.shape[0] * w.shape[1] for w in sparse)
    active_positions = sum(weight.nnz for weight in sparse)
    each = [p.macs for p in passes]
    layers = macs.of_layers(model)
    return {
        "parameters": weights.elements,
        "nonzeros": weights.nonzeros,
        "sparsity": 1.0 - active_positions / positions if positions else 0.0,
        "tensors": weights.tensors,
        "as_published": {
            "training_macs": sum(p.as_published for p in passes),
            "inference_macs": published.inference(model, layers, weights.density),
        },
        "training": {
            "seconds": round(sum(p.seconds for p in passes), 3),
            "seconds_of_other_runs": round(
                sum(p.seconds for p in passes if p.read_from), 3
            ),
            "steps": sum(p.steps for p in passes),
            "macs": sum(m.total for m in each),
            "macs_forward": sum(m.forward for m in each),
            "macs_backward": sum(m.backward for m in each),
            "macs_optimizer": sum(m.optimizer for m in each),
            "state_bytes": max(p.state_bytes for p in passes),
            "activation_bytes": model.activation_bytes,
            "peak_rss_bytes": max(p.peak_rss_bytes for p in passes),
            "base_rss_bytes": base_rss_bytes,
            "passes": [
                {
                    **dataclasses.asdict(p),
                    "size": p.size._asdict(),
                    "macs": p.macs.total,
                    "layers": {name: m._asdict() for name, m in p.layers.items()},
                }
                for p in passes
            ],
        },
        "inference": {
            "macs_per_user": macs.inference(layers, model.num_items),
            "macs_once": macs.once(layers),
            "table_bytes": model.held_bytes
            + size.variable_bytes(
                variable
                for layer in model._flatten_layers()
                if isinstance(layer, Tables)
                for variable in layer.variables
            ),
        },
    }


class _Weights(NamedTuple):
    """Weights of a model, and of each of its tensors."""

    elements: int
    nonzeros: int
    tensors: dict[str, dict[str, Any]]

    @property
    def density(self) -> float:
        return self.nonzeros / max(1, self.elements)


def _weights(model: Backbone) -> _Weights:
    sparse = {id(weight.values): weight for weight in model.sparse_weights()}
    tensors: dict[str, dict[str, Any]] = {}
    for variable in model.trainable_variables:
        weight = sparse.get(id(variable))
        shape = list(variable.shape if weight is None else weight.shape)
        elements = math.prod(shape)
        tensors[variable.name.removesuffix(":0")] = {
            "shape": shape,
            "nonzeros": elements if weight is None else weight.nnz,
            "bytes": size.variable_bytes([variable]),
        }
    each = tensors.values()
    return _Weights(
        sum(math.prod(tensor["shape"]) for tensor in each),
        sum(tensor["nonzeros"] for tensor in each),
        tensors,
    )


def _recorder_variables(model: Backbone) -> Iterator[tf.Variable]:
    for weight in model.sparse_weights():
        if weight.recorder is not None:
            yield from weight.recorder.variables
