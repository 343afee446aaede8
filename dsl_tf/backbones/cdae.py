"""CDAE: a denoising autoencoder with a row of its own for each user.

Wu et al., "Collaborative Denoising Auto-Encoders for Top-N Recommender Systems",
WSDM 2016.
"""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.backbones._autoencoder import (
    Autoencoder,
    picked,
    row_nonzeros,
    unless_empty,
    with_one,
)
from dsl_tf.data.negatives import UniformNegatives
from dsl_tf.data.pipelines import Batches, Users
from dsl_tf.errors import UserError, check_keys
from dsl_tf.layers.tables import TableFactory
from dsl_tf.plugins import choose
from dsl_tf.types import LayerMacs, Split

#: Losses of scores [...] and labels [...], by name.
_LOSSES: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "logistic": lambda scores, labels: tf.nn.sigmoid_cross_entropy_with_logits(
        labels, scores
    ),
    "square": lambda scores, labels: 0.5 * tf.square(labels - scores),
}

#: Keys of the config that are widths of tables.
WIDTHS = ("hidden_dim",)


def build(
    config: config_dict.ConfigDict, split: Split, tables: TableFactory, seed: int
) -> "CDAE":
    """CDAE of the config node `model`.

    Raises:
      UserError: a key is out of range.
    """
    check_keys(
        "model",
        config,
        hidden_dim=(config.hidden_dim >= 1, "at least 1"),
        corruption=(0 <= config.corruption < 1, "in [0, 1)"),
        regularization=(config.regularization >= 0, "at least 0"),
    )
    return CDAE(
        split,
        tables,
        hidden_dim=config.hidden_dim,
        corruption=config.corruption,
        loss=config.loss,
        regularization=config.regularization,
        seed=seed,
    )


class UsersWithNegatives(Users):
    """Batches of users, with sampled negatives for each of their training items.

    A batch is `{"user": int32 [B], "negatives": int32 [P, n]}`: the users have P
    training items, each has n negatives, drawn uniformly from what its user has
    not seen. They stand in the order of the users, and within a user of the items.

    Args:
      split: its training part is used.
      batch_size: B, users in a batch.
      negatives: n.
      seed: the run's seed.

    Raises:
      UserError: `batch_size` or `negatives` out of range.
    """

    def __init__(
        self, split: Split, batch_size: int, negatives: int, seed: int
    ) -> None:
        super().__init__(split, batch_size, seed)
        if not 1 <= negatives <= split.num_items:
            raise UserError(
                "`train.negatives` must be from 1 to the number of items, "
                f"{split.num_items:,}. Received: {negatives:,}."
            )
        self._negatives = negatives
        self._counts = tf.constant(split.activity(), tf.int32)
        self._sampler = UniformNegatives(split.train, split.num_users, split.num_items)

    def _batch(self, number: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = super()._batch(number, index)
        users = tf.repeat(batch["user"], tf.gather(self._counts, batch["user"]))
        seed = tf.stack([streams.key(self._seed, "negatives"), number])
        return {**batch, "negatives": self._sampler(users, self._negatives, seed)}


class CDAE(Autoencoder):
    """z_u = σ(Σ_i W_i + V_u + b), score = W'_i · z_u + b'_i (sec. 3).

    A user never seen has V_u = 0.

    Args:
      split: its training part is the users' histories.
      tables: makes the tables.
      hidden_dim: units of the hidden layer, the width of a user vector.
      corruption: q, the share of a history's items left out in training, in
        [0, 1); the others are scaled by 1 / (1 - q).
      loss: `"logistic"` or `"square"`, of the score, over positives and negatives.
      regularization: λ, weight of half the squared norms of W, W', b, b' and, in
        the mean over a batch's users, V_u. (The paper sums over all V_u; with Adam
        the rows of the users who are not in a batch would only be pulled to zero.)
      seed: seeds initial weights and corruption.
    """

    def __init__(
        self,
        split: Split,
        tables: TableFactory,
        hidden_dim: int = 50,
        corruption: float = 0.5,
        loss: str = "logistic",
        regularization: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._loss = choose(_LOSSES, loss, "model.loss")
        self._regularization = regularization
        limit = 4.0 * (6.0 / (split.num_items + hidden_dim)) ** 0.5

        def matrix(name: str) -> keras.initializers.Initializer:
            return keras.initializers.RandomUniform(
                -limit, limit, seed=streams.key(seed, f"initial/{name}")
            )

        def bias(_: str) -> keras.initializers.Initializer:
            return keras.initializers.Zeros()

        super().__init__(
            split, tables, "cdae", hidden_dim, matrix, bias, corruption, seed
        )
        self.users = tables.one("users", hidden_dim, "users", matrix("users"))
        self.users(tf.zeros([1], tf.int32))  # makes it

    def batches(
        self, split: Split, config: config_dict.ConfigDict, seed: int
    ) -> Batches:
        """Batches of users with negatives; `train.sampling` is not read."""
        return UsersWithNegatives(split, config.batch_size, config.negatives, seed)

    def compute_loss(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """Losses of each user's items and their negatives, summed; mean over users.

        All scores are made, as products by blocks, and those that count are picked:
        to look the rows up one by one would take [P, 1 + n, h].

        Args:
          inputs: a batch of `UsersWithNegatives`.
          training: whether histories are corrupted.
        """
        users = inputs["user"]
        history, rows = self.histories(users), self.users(users)
        hidden = tf.sigmoid(self._sums(history, training) + rows + self.encoder_bias)
        items = tf.concat([history.values[:, None], inputs["negatives"]], axis=1)
        scores = picked(self._scores(hidden), history.value_rowids()[:, None], items)
        # Of each row of items the first is the user's own.
        labels = tf.one_hot(tf.zeros_like(history.values), items.shape[1])
        loss = tf.reduce_sum(self._loss(scores, labels))
        return loss / tf.cast(tf.size(users), tf.float32) + self._penalty(rows)

    def user_rows(self, users: tf.Tensor) -> tf.Tensor:
        """V_u, [B, hidden_dim]."""
        return self.users(users)

    def encode(
        self, sums: tf.Tensor, counts: tf.Tensor, user_rows: tf.Tensor | None
    ) -> tf.Tensor:
        """z_u, [B, hidden_dim]; see `Autoencoder.encode`."""
        inputs = sums if user_rows is None else sums + user_rows
        return unless_empty(tf.sigmoid(inputs + self.encoder_bias), counts)

    def query_vectors(self, users: tf.Tensor) -> tf.Tensor:
        """z_u and a 1, [B, hidden_dim + 1]."""
        return with_one(users)

    def macs(self, users: np.ndarray, items: np.ndarray) -> dict[str, LayerMacs]:
        """Multiply-accumulates of `score`.

        A user takes the sum of the history's encoder rows (`history_macs`) and the
        non-zeros of V_u, a pair the non-zeros of an item's vector, Σ items.
        """
        del users
        own = float(row_nonzeros(self.user_rows, self.num_users).mean())
        return {
            "encoder": LayerMacs(per_user=self.history_macs()),
            "user's row": LayerMacs(per_user=own),
            "decoder": LayerMacs(per_pair=float(items.sum())),
        }

    def _penalty(self, user_rows: tf.Tensor) -> tf.Tensor | float:
        """λ/2 times the squared norms; of `user_rows` [B, h] the mean."""
        if not self._regularization:
            return 0.0
        squares = [
            self.encoder.square_sum(),
            self.decoder.square_sum(),
            tf.reduce_sum(tf.square(self.encoder_bias)),
            tf.reduce_sum(tf.square(self.decoder_bias)),
            tf.reduce_mean(tf.reduce_sum(tf.square(user_rows), axis=1)),
        ]
        return 0.5 * self._regularization * tf.add_n(squares)
