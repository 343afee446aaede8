"""Batches of the validation part, for what is learnt beside a model's weights.

A controller or a policy that learnt from the batches of the model would find that
more weights are always better.
"""

import dataclasses

import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.accounting import macs
from dsl_tf.accounting.macs import Layers, TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.data import negatives, positives
from dsl_tf.data.pipelines import Pairs
from dsl_tf.errors import UserError
from dsl_tf.layers.sized import SizedEmbedding
from dsl_tf.layers.tables import Tables
from dsl_tf.training.companions import Companion
from dsl_tf.types import Split, StepSize


class HeldOut:
    """Validation interactions with negatives, as a model's own batches are made.

    Negatives are drawn as `train.sampling` says: `per_pair` from what a user has
    neither in training nor in validation.

    Args:
      split: its validation part is used.
      config: the whole config.
      seed: of the run.

    Attributes:
      size: of a batch.

    Raises:
      UserError: there is no validation part.
    """

    def __init__(self, split: Split, config: config_dict.ConfigDict, seed: int) -> None:
        if not len(split.validation):
            raise UserError(
                f"The method {config.method.name} learns sizes on validation, which "
                "the split must have. Received: none."
            )
        train = config.train
        sampler = negatives.find(train.sampling)(
            split.train.merged(split.validation),
            split.num_users,
            split.num_items,
            train.negatives_exponent,
            train.shared_by,
        )
        pairs = Pairs(
            dataclasses.replace(split, train=split.validation),
            train.batch_size,
            positives.find(train.positives)(split.validation),
            sampler,
            train.negatives,
            streams.key(seed, "held out"),
        )
        self.size = pairs.size
        self._begun = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._data = pairs.dataset(self._begun)
        self.start(0)

    def start(self, number: int) -> None:
        """Go on with batch `number`, from 0."""
        self._begun.assign(number)
        self._batches = iter(self._data)

    def next(self) -> dict[str, tf.Tensor]:
        """The next batch; there is always one."""
        batch: dict[str, tf.Tensor] = next(self._batches)
        return batch


def check_pairs(model: Backbone, method: str) -> None:
    """Checks that a model's loss is one of pairs, which validation has too.

    Raises:
      UserError: it is an autoencoder, whose loss is of training histories.
    """
    if not model.scores_pairs:
        raise UserError(
            f"The method {method} needs a backbone that scores pairs. Received: "
            f"{model.name}."
        )


def sized_layers(model: keras.Model) -> list[SizedEmbedding]:
    """The layers whose rows have candidate sizes."""
    layers = model._flatten_layers()
    return [each for each in layers if isinstance(each, SizedEmbedding)]


class Making(Companion):
    """The making of rows, as what goes along with a pass that learns no sizes.

    Args:
      config: not read.
      planned_steps: not read.
      seed: not read.
    """

    def __init__(
        self, config: config_dict.ConfigDict, planned_steps: int, seed: int
    ) -> None:
        del config, planned_steps, seed
        super().__init__(keras.callbacks.Callback())

    def macs(self, steps: int, size: StepSize) -> Layers:
        """Of the rows of each step, forward and backward."""
        making = steps * making_macs(self.callback.model, size)
        return {"rows of their sizes": TrainingMacs(making, 2 * making, 0)}


def making_macs(model: Backbone, size: StepSize) -> int:
    """Multiply-accumulates of making the rows of a step, forward.

    Of those that a batch looks up, at most all of a table, or, where a graph is
    propagated over, of all rows once. Each is made once, whose row numbers a batch has
    twice: these are as many as there can be.
    """
    whole = any(each.once for each in macs.of_layers(model).values())
    looked_up = {"users": size.users, "items": size.items}
    looked_up["both"] = size.users + size.items
    total = 0.0
    for tables in model._flatten_layers():
        if isinstance(tables, Tables):
            for each in sized_layers(tables):
                rows = each.input_dim if whole else looked_up[each.kind]
                total += min(rows, each.input_dim) * each.row_macs()
    return round(total)
