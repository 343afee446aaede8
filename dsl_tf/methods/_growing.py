"""Lets rows grow by a policy that is trained by REINFORCE; see `esapn`."""

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf import streams
from dsl_tf.errors import UserError
from dsl_tf.layers.chosen_sizes import ChosenEmbedding
from dsl_tf.layers.sized import CategoryNetwork
from dsl_tf.methods._held_out import HeldOut, check_pairs
from dsl_tf.sparsity import initialization
from dsl_tf.types import Interactions


class Asked(NamedTuple):
    """What a policy was asked, and did.

    Attributes:
      bucket: int [m], of the rows.
      size: int [m], which of the sizes they had.
      grew: int [m], 1 for those that grew, 0 for those that stayed.
    """

    bucket: np.ndarray
    size: np.ndarray
    grew: np.ndarray


class Growing(keras.callbacks.Callback):
    """Asks rows of the `ChosenEmbedding` layers of a model, before some of its steps.

    Args:
      batches: of validation.
      train: training interactions.
      sparsity: s; the sizes of a table sum up to at most 1 - s of its positions.
      interval: steps between two times that rows are asked.
      hidden: units of the policies.
      learning_rate: of their Adam.
      initial_growth: probability of growth that they begin with.
      baseline: rewards that it is the mean of.
      seed: of who is asked, and of the actions.

    Attributes:
      policies: one for each layer, once there is a model.
      rewards: the last ones, at most as many as the baseline takes.
    """

    def __init__(
        self,
        batches: HeldOut,
        train: Interactions,
        sparsity: float,
        interval: int,
        hidden: int,
        learning_rate: float,
        initial_growth: float,
        baseline: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self.batches = batches
        self.interval = interval
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.policies: list[CategoryNetwork] = []
        self.rewards: list[float] = []
        self._train = train
        self._sparsity = sparsity
        self._hidden = hidden
        self._bias = math.log(initial_growth / (1 - initial_growth))
        self._baseline = baseline
        self._seed = seed
        self._layers: list[ChosenEmbedding] = []
        self._asked: list[Asked] = []
        self._batch: dict[str, tf.Tensor] = {}

    def set_model(self, model: keras.Model) -> None:
        """Make the policies.

        Raises:
          UserError: an autoencoder, or the smallest size is above the budget.
        """
        if self.model is model:  # `fit` sets it again
            return
        super().set_model(model)
        check_pairs(model, "esapn")
        layers = model._flatten_layers()
        self._layers = [each for each in layers if isinstance(each, ChosenEmbedding)]
        for layer in self._layers:
            if layer.taken() > self._budget(layer):
                raise UserError(
                    "The smallest of `method.esapn.sizes` must be within the budget. "
                    f"Received: {layer.sizes[0]} of a width of {layer.output_dim} at "
                    f"sparsity.target={self._sparsity}."
                )
        self.policies = [
            CategoryNetwork(
                [int(layer.buckets.max()) + 1, len(layer.sizes)],
                self._hidden,
                [0.0, self._bias],
                self._seed,
                name=f"{layer.name}_policy",
            )
            for layer in self._layers
        ]
        self.optimizer.build(self._variables())
        self._loss = tf.function(model.compute_loss, autograph=False)
        # As many rows are asked as can grow, another number each time.
        self._step = tf.function(self._learn, autograph=False, reduce_retracing=True)

    def on_train_begin(self, logs: Any = None) -> None:
        """Go on with the batch of the next time that rows are asked."""
        done = int(self.model.optimizer.iterations)
        self.batches.start(-(-done // self.interval))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Ask, where it is due."""
        step = int(self.model.optimizer.iterations)
        if step % self.interval == 0:
            self._batch = self.batches.next()
            self._asked = [
                self._ask(layer, policy, step)
                for layer, policy in zip(self._layers, self.policies, strict=True)
            ]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Reward what was done before this step."""
        if not any(len(each.grew) for each in self._asked):
            return
        reward = 1.0 - float(self._loss(self._batch))
        if self.rewards:  # the first one has nothing to be compared with
            advantage = tf.constant(reward - float(np.mean(self.rewards)))
            self._step(self._asked, advantage)
        self.rewards = [*self.rewards, reward][-self._baseline :]
        self._asked = []

    def _ask(self, layer: ChosenEmbedding, policy: CategoryNetwork, step: int) -> Asked:
        """Let rows of a layer act, and grow."""
        generator = streams.generator(self._seed, f"esapn/{layer.name}/{step}")
        # In any order: the last to be asked may find the budget spent.
        rows = generator.permutation(self._rows(layer, step))
        size = layer.size_of(rows)
        more = np.append(np.diff(layer.sizes), self._budget(layer) + 1)[size]
        room = self._budget(layer) - layer.taken()
        can = more <= room  # never those of the largest size
        rows, size, more = rows[can], size[can], more[can]
        bucket = layer.buckets[rows]
        grow = tf.nn.softmax(policy([bucket, size]))[:, 1].numpy()
        wants = generator.random(len(rows)) < grow
        fits = np.cumsum(np.where(wants, more, 0)) <= room
        layer.grow(rows[wants & fits])
        acted = fits | ~wants
        return Asked(bucket[acted], size[acted], wants[acted].astype(np.int32))

    def _rows(self, layer: ChosenEmbedding, step: int) -> np.ndarray:
        """Who is asked: those of the batch and of as many training interactions."""
        users, items = (self._batch[key].numpy() for key in ("user", "item"))
        generator = streams.generator(self._seed, f"esapn/train/{step}")
        drawn = generator.integers(len(self._train), size=len(users))
        users = np.concatenate([users, self._train.users[drawn]])
        items = np.concatenate([items, self._train.items[drawn]])
        rows = {
            "users": users,
            "items": items,
            "both": np.concatenate([users, items + self.model.num_users]),
        }
        return np.unique(rows[layer.kind])

    def _learn(self, asked: list[Asked], advantage: tf.Tensor) -> None:
        variables = self._variables()
        with tf.GradientTape() as tape:
            loss = tf.add_n(
                [
                    policy_loss(policy, each, advantage)
                    for policy, each in zip(self.policies, asked, strict=True)
                ]
            )
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))

    def _variables(self) -> list[tf.Variable]:
        return [v for policy in self.policies for v in policy.trainable_variables]

    def _budget(self, layer: ChosenEmbedding) -> int:
        shape = (layer.input_dim, layer.output_dim)
        return initialization.budget(shape, self._sparsity)


def policy_loss(
    policy: CategoryNetwork, asked: Asked, advantage: tf.Tensor
) -> tf.Tensor:
    """-(R - b) mean log π(action), a scalar whose gradient is REINFORCE's.

    Args:
      policy: π; logits of staying and growing, of bucket and size.
      asked: what it did; 0 where it was not asked.
      advantage: R - b, a scalar.
    """
    logits = policy([asked.bucket, asked.size])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(asked.grew, logits)
    return advantage * tf.math.divide_no_nan(
        tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
    )
