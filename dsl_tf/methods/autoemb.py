"""AutoEmb (Zhao et al., ICDM 2021): every row is a soft mixture of several sizes.

A row of DSL's Table 3. Each user and item has an embedding of every candidate size,
and a controller that sees how popular a row is mixes what the sizes' maps make of
them, see `dsl_tf.layers.mixed_sizes`. The two are trained in turns (DARTS, first
order): a step of the model on a training batch, then one of the controller, by an Adam
of its own, on a validation batch. The paper's controller is also fed a stream: counts
that grow, and its own last weights. Here counts are those of the training part and do
not change, so the weights of a row are a function of its bucket of popularity.

All candidates are needed for every row, so nothing is pruned: `sparsity.target` is
**not read**, and the tables take more bytes than dense ones, about twice as many by
default. `state_bytes` and `table_bytes` in the cost report are what they take, with
the controller; it is compared by those, not at a sparsity. What is exported are the
rows that are made, in full.

The epoch is selected on the same validation part as the controller learns from; a
refit, which has none, trains anew with the mixture that was selected.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf.accounting import macs
from dsl_tf.accounting.macs import OPTIMIZER_MACS, Layers, TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import check_keys
from dsl_tf.layers.mixed_sizes import MixedEmbedding, MixedTables, Mixture
from dsl_tf.methods import base, dsl
from dsl_tf.methods._held_out import HeldOut, Making, check_pairs, making_macs
from dsl_tf.training.companions import Companion
from dsl_tf.types import Split, StepSize

#: `sparsity.target` is not read: no weight is left out.
READS_SPARSITY = False

SETTINGS = {
    # Candidates, as fractions of a table's width; at least 1 wide.
    "sizes": (0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0),
    # Units of the controller's hidden layer.
    "hidden": 512,
    # Of the controller's Adam.
    "learning_rate": 1e-4,
}

#: What `python -m dsl_tf.tune` varies.
SPACE = {
    "method.autoemb.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
}


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass, of model and controller, or, in a refit, of the model alone."""
    settings, split = config.method.autoemb, passes.split
    check_keys(
        "method.autoemb",
        settings,
        hidden=(settings.hidden >= 1, "at least 1"),
        learning_rate=(settings.learning_rate > 0, "above 0"),
    )

    def alternation(
        config: config_dict.ConfigDict, planned_steps: int, seed: int
    ) -> Alternation:
        del planned_steps
        rate = config.method.autoemb.learning_rate
        return Alternation(ControllerSteps(HeldOut(split, config, seed), rate))

    if not len(split.validation):
        found = passes.chosen("mixtures", config)
        return passes.backbone(config, mixed_as(found), Making)
    model = passes.backbone(config, make_tables, alternation)
    if config.train.refit:
        passes.choose("mixtures", lambda: mixtures(model))
    return model


def make_tables(config: config_dict.ConfigDict, split: Split, seed: int) -> MixedTables:
    """Tables of all candidate sizes, with controllers."""
    del seed
    return MixedTables(
        split.activity(),
        split.popularity(),
        dsl.joint(config),
        config.method.autoemb.sizes,
        hidden=config.method.autoemb.hidden,
    )


def mixed_as(found: list[list[Any]]) -> base.MakeTables:
    """Makes tables that are mixed as `mixtures` found others to be."""

    def make(config: config_dict.ConfigDict, split: Split, seed: int) -> MixedTables:
        del seed
        given = (
            Mixture(np.array(buckets), np.array(logits, np.float32))
            for buckets, logits in found
        )
        return MixedTables(
            split.activity(),
            split.popularity(),
            dsl.joint(config),
            config.method.autoemb.sizes,
            given=given,
        )

    return make


def mixtures(model: keras.Model) -> list[list[Any]]:
    """How the rows of each table are mixed; JSON-ready."""
    return [
        [part.tolist() for part in layer.mixture()] for layer in mixed_layers(model)
    ]


class ControllerSteps(keras.callbacks.Callback):
    """After each step of a model, one of its controllers.

    Args:
      batches: of validation.
      learning_rate: of their Adam.
    """

    def __init__(self, batches: HeldOut, learning_rate: float) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self.batches = batches
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.variables: list[tf.Variable] = []

    def set_model(self, model: keras.Model) -> None:
        """Make the optimiser's moments.

        Raises:
          UserError: an autoencoder.
        """
        if self.model is model:  # `fit` sets it again
            return
        super().set_model(model)
        check_pairs(model, "autoemb")
        self.variables = [
            variable
            for layer in mixed_layers(model)
            if layer.controller is not None
            for variable in layer.controller.variables
        ]
        self.optimizer.build(self.variables)
        self._step = tf.function(self._take, autograph=False)

    def on_train_begin(self, logs: Any = None) -> None:
        """Go on with the batch of this step."""
        self.batches.start(int(self.model.optimizer.iterations))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Take a step."""
        self._step(self.batches.next())

    def gradients(self, inputs: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        """Of a batch's loss by the controllers' variables, the model held fixed."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.variables)
            loss = self.model.compute_loss(inputs)
        return tape.gradient(loss, self.variables)

    def _take(self, inputs: dict[str, tf.Tensor]) -> None:
        pairs = zip(self.gradients(inputs), self.variables, strict=True)
        self.optimizer.apply_gradients(pairs)


class Alternation(Companion):
    """The controllers' steps as what goes along with a pass.

    Args:
      callback: takes them.
    """

    callback: ControllerSteps

    def __init__(self, callback: ControllerSteps) -> None:
        super().__init__(callback)

    def tensors(self) -> dict[str, Any]:
        """The optimiser; the controllers are the model's."""
        return {"controller_optimizer": self.callback.optimizer}

    def row(self, since: int) -> dict[str, Any]:
        """The mean size over the rows of all tables, by their weights."""
        del since
        layers = mixed_layers(self.callback.model)
        sizes = [layer.mean_size() for layer in layers]
        rows = [layer.input_dim for layer in layers]
        return {"mean_size": float(np.average(sizes, weights=rows))}

    def macs(self, steps: int, size: StepSize) -> Layers:
        """Making the rows of both batches, scoring the second, and the controllers."""
        model, held_out = self.callback.model, self.callback.batches.size
        layers = macs.training(macs.of_layers(model), steps, held_out)
        scoring = macs.summed(layers.values())
        making = making_macs(model, size) + making_macs(model, held_out)
        mixing = sum(layer.controller_macs() for layer in mixed_layers(model))
        weights = sum(v.shape.num_elements() for v in self.callback.variables)
        forward = scoring.forward + steps * (making + 2 * mixing)
        updates = steps * OPTIMIZER_MACS * weights
        return {"controllers": TrainingMacs(forward, 2 * forward, updates)}


def mixed_layers(model: keras.Model) -> list[MixedEmbedding]:
    """The layers that mix."""
    layers = model._flatten_layers()
    return [each for each in layers if isinstance(each, MixedEmbedding)]
