"""Gradual magnitude pruning (Zhu and Gupta 2017): dense first, sparser step by step.

    s_t = s_f (1 - (1 - (t - t_0) / (t_n - t_0))^3)

At each pruning step the weights of least magnitude leave, so that the sparsity is
s_t, and stay out; after the last one training goes on with a fixed mask. The schedule
is that of the TensorFlow Model Optimization Toolkit, whose `prune_low_magnitude` this
is for tables that are looked up outside of `Layer.call`. Weights can be kept from
the epochs only in which the target is reached.
"""

from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError, check_keys
from dsl_tf.layers.pruned import PrunedEmbedding, PrunedTables
from dsl_tf.methods import _budget, _weights, base, dsl
from dsl_tf.training.companions import Companion, Spells, Thinning
from dsl_tf.types import Split

SETTINGS = {
    # Steps between two prunings.
    "frequency": 100,
    # Of the planned steps: where pruning begins and ends.
    "begin_fraction": 0.1,
    "end_fraction": 0.5,
}

#: What `python -m dsl_tf.tune` varies: the two do not meet.
SPACE = {
    "method.gradual_magnitude.begin_fraction": {"low": 0.0, "high": 0.3},
    "method.gradual_magnitude.end_fraction": {"low": 0.4, "high": 0.9},
}

#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass, dense with a mask; what is handed back is packed.

    A pretraining is dense: there the schedule would begin, and end, twice.
    """
    check(config)
    model = passes.backbone(config, make_tables, companion, make_first=dsl.make_dense)
    trained = _weights.State.of(model)
    masks = {layer.name: layer.mask.numpy() for layer in pruned_layers(model)}
    del model  # two at a time would double the memory
    return passes.untrained(config, dsl.given(masks), trained.give)


def make_tables(
    config: config_dict.ConfigDict, split: Split, seed: int
) -> PrunedTables:
    """Dense tables with masks."""
    del seed
    return PrunedTables(split.num_users, split.num_items, dsl.joint(config))


def companion(
    config: config_dict.ConfigDict, planned_steps: int, seed: int
) -> Companion:
    """What prunes, on the schedule of the config.

    Raises:
      UserError: the section has no pruning step in it.
    """
    del seed
    check(config)
    settings = config.method.gradual_magnitude
    begin = int(settings.begin_fraction * planned_steps)
    end = int(settings.end_fraction * planned_steps)
    if not 1 <= settings.frequency <= end - begin:
        raise UserError(
            "`method.gradual_magnitude.frequency` must be from 1 to the steps between "
            f"the begin and the end of pruning, {end - begin}. Received: "
            f"{settings.frequency}."
        )
    end -= (end - begin) % settings.frequency  # a pruning step, the last
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=config.sparsity.target,
        begin_step=begin,
        end_step=end,
        power=3,
        frequency=settings.frequency,
    )
    return GradualPruning(GradualMagnitude(schedule), end)


def check(config: config_dict.ConfigDict) -> None:
    """Refuse fractions that no schedule has, whatever the steps.

    Raises:
      UserError: one is out of range.
    """
    settings = config.method.gradual_magnitude
    begun, ended = settings.begin_fraction, settings.end_fraction
    check_keys(
        "method.gradual_magnitude",
        settings,
        begin_fraction=(0 <= begun < 1, "in [0, 1)"),
        end_fraction=(begun < ended <= 1, "above begin_fraction, at most 1"),
    )


class GradualMagnitude(keras.callbacks.Callback):
    """Prunes the `PrunedEmbedding` layers of a model.

    Args:
      schedule: tells, for a number of steps done, whether to prune, and to which
        sparsity.

    Attributes:
      spells: between two prunings, where the model is a backbone.
    """

    def __init__(self, schedule: tfmot.sparsity.keras.PruningSchedule) -> None:
        super().__init__()
        self.spells = Spells()
        self._supports_tf_logs = True
        self._schedule = schedule

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Prune where it is due."""
        steps = self.model.optimizer.iterations
        due, sparsity = self._schedule(steps)
        if not bool(due):
            return
        if isinstance(self.model, Backbone):
            self.spells.end(int(steps), self.model)
        for layer in pruned_layers(self.model):
            table = {layer.name: layer.embeddings.numpy()}
            masks = _weights.largest(table, float(sparsity))
            layer.prune(masks[layer.name])


class GradualPruning(Thinning):
    """Gradual pruning as what goes along with a pass.

    Args:
      callback: prunes.
      end_step: of its last pruning.
    """

    def __init__(self, callback: GradualMagnitude, end_step: int) -> None:
        super().__init__(callback, callback.spells)
        self._end_step = end_step

    def row(self, since: int) -> dict[str, Any]:
        """The non-zeros of the tables."""
        del since
        masks = [layer.mask.numpy() for layer in pruned_layers(self.callback.model)]
        return {"nnz": sum(int(np.count_nonzero(mask)) for mask in masks)}

    def selectable(self) -> bool:
        """Once the target is reached."""
        return int(self.callback.model.optimizer.iterations) >= self._end_step


def pruned_layers(model: keras.Model) -> list[PrunedEmbedding]:
    """The layers that can be pruned."""
    layers = model._flatten_layers()
    return [layer for layer in layers if isinstance(layer, PrunedEmbedding)]
