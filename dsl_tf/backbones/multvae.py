"""Mult-VAE: a variational autoencoder with a multinomial likelihood.

Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.backbones._autoencoder import (
    Autoencoder,
    lengths,
    picked,
    unless_empty,
    with_one,
)
from dsl_tf.errors import check_keys
from dsl_tf.layers.tables import TableFactory
from dsl_tf.types import LayerMacs, Split


def build(
    config: config_dict.ConfigDict, split: Split, tables: TableFactory, seed: int
) -> "MultVAE":
    """Mult-VAE of the config node `model`.

    Raises:
      UserError: a key is out of range.
    """
    dims = config.hidden_dims
    check_keys(
        "model",
        config,
        hidden_dims=(dims and min(dims) >= 1, "one or more numbers from 1"),
        latent_dim=(config.latent_dim >= 1, "at least 1"),
        dropout=(0 <= config.dropout < 1, "in [0, 1)"),
        kl_weight=(config.kl_weight >= 0, "at least 0"),
        anneal_steps=(config.anneal_steps >= 0, "at least 0"),
        regularization=(config.regularization >= 0, "at least 0"),
    )
    return MultVAE(
        split,
        tables,
        hidden_dims=config.hidden_dims,
        latent_dim=config.latent_dim,
        dropout_rate=config.dropout,
        kl_weight=config.kl_weight,
        anneal_steps=config.anneal_steps,
        regularization=config.regularization,
        seed=seed,
    )


class MultVAE(Autoencoder):
    """I-600-200-600-I: a user vector is the mean of the latent posterior.

    The first matrix of the encoder and the last of the decoder are tables of
    items; the kernels between them are small and stay dense. The input is the
    user's binary row with the norm 1; hidden layers have a tanh.

    Args:
      split: its training part is the users' histories.
      tables: makes the tables.
      hidden_dims: units of the encoder's hidden layers; the decoder's are the same
        in reverse order.
      latent_dim: units of the latent layer, the width of a user vector.
      dropout_rate: share of a history's items left out in training, in [0, 1).
      kl_weight: the greatest β.
      anneal_steps: β grows by 1 / `anneal_steps` a step until it is `kl_weight`
        (.2 is reached after a fifth of them); 0: it is that from the start.
      regularization: weight of the squared norms of all matrices.
      seed: seeds initial weights, dropout and latent noise.
    """

    def __init__(
        self,
        split: Split,
        tables: TableFactory,
        hidden_dims: Sequence[int] = (600,),
        latent_dim: int = 200,
        dropout_rate: float = 0.5,
        kl_weight: float = 0.2,
        anneal_steps: int = 200_000,
        regularization: float = 0.0,
        seed: int = 0,
    ) -> None:
        def matrix(name: str) -> keras.initializers.Initializer:
            return keras.initializers.GlorotUniform(
                seed=streams.key(seed, f"initial/{name}")
            )

        def bias(name: str) -> keras.initializers.Initializer:
            return keras.initializers.TruncatedNormal(
                stddev=0.001, seed=streams.key(seed, f"initial/{name}")
            )

        super().__init__(
            split, tables, "multvae", hidden_dims[0], matrix, bias, dropout_rate, seed
        )
        self._kl_weight, self._anneal_steps = kl_weight, anneal_steps
        self._regularization = regularization

        # Between the two tables. The latent layer has mean and logarithm of the
        # variance side by side in the reference. Here the latter is apart, as only
        # training needs it; the initial weights are drawn for both together.
        self._latent_layer = len(hidden_dims) - 1
        shapes = [
            *itertools.pairwise([*hidden_dims, 2 * latent_dim]),
            *itertools.pairwise([latent_dim, *reversed(hidden_dims)]),
        ]
        self.kernels, self.biases = [], []
        for number, shape in enumerate(shapes, start=1):
            drawn = [
                (name, draw(name)(tensor))
                for name, draw, tensor in (
                    (f"kernel_{number}", matrix, shape),
                    (f"bias_{number}", bias, shape[1:]),
                )
            ]
            if number - 1 == self._latent_layer:
                self.log_variance = [
                    self._weight(f"{name}_log_variance", value[..., latent_dim:])
                    for name, value in drawn
                ]
                drawn = [(name, value[..., :latent_dim]) for name, value in drawn]
            kernel, own_bias = (self._weight(*each) for each in drawn)
            self.kernels.append(kernel)
            self.biases.append(own_bias)

    def _weight(self, name: str, value: tf.Tensor) -> tf.Variable:
        return self.add_weight(
            name=name, shape=value.shape, initializer=lambda shape, dtype: value
        )

    def compute_loss(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """The negative ELBO of a batch (sec. 2.2), the mean over its users.

        -Σ log softmax(scores) of a user's items + β KL(posterior, N(0, 1)).

        Args:
          inputs: `user` int32 [B].
          training: whether items are left out of the input, and the latent layer
            is drawn from the posterior; else it is its mean.
        """
        step = tf.cast(self.optimizer.iterations, tf.int64)
        history = self.histories(inputs["user"])
        # As in the reference, the norm is that of the whole row.
        hidden = self._hidden(self._sums(history, training), lengths(history))
        mean, log_variance = (
            tf.matmul(hidden, kernel) + bias
            for kernel, bias in (self._mean_weights(), self.log_variance)
        )
        latent = mean
        if training:
            key = tf.stack([streams.key(self._seed, "reparameterisation"), step])
            noise = tf.random.stateless_normal(tf.shape(mean), key)
            latent += noise * tf.exp(0.5 * log_variance)
        log_shares = tf.nn.log_softmax(self._scores(self._decoded(latent)))
        likelihood = picked(log_shares, history.value_rowids(), history.values)
        divergence = tf.exp(log_variance) + tf.square(mean) - 1.0 - log_variance
        loss = self.beta(step) * 0.5 * tf.reduce_sum(divergence)
        loss -= tf.reduce_sum(likelihood)
        return loss / tf.cast(history.nrows(), tf.float32) + self._penalty()

    def beta(self, step: tf.Tensor) -> tf.Tensor:
        """β after so many steps, a float32 scalar."""
        if not self._anneal_steps:
            return tf.constant(self._kl_weight, tf.float32)
        grown = tf.cast(step, tf.float32) / self._anneal_steps
        return tf.minimum(grown, self._kl_weight)

    def encode(
        self, sums: tf.Tensor, counts: tf.Tensor, user_rows: tf.Tensor | None
    ) -> tf.Tensor:
        """The mean of the posterior, [B, latent_dim]; see `Autoencoder.encode`."""
        del user_rows
        kernel, bias = self._mean_weights()
        return unless_empty(
            tf.matmul(self._hidden(sums, counts), kernel) + bias, counts
        )

    def query_vectors(self, users: tf.Tensor) -> tf.Tensor:
        """The last hidden layer and a 1, [B, h + 1]."""
        return with_one(self._decoded(users))

    def macs(self, users: np.ndarray, items: np.ndarray) -> dict[str, LayerMacs]:
        """Multiply-accumulates of `score`.

        A user takes the sum of the history's encoder rows (`history_macs`), its h
        scalings, and the kernels between the two tables. A pair takes the non-zeros
        of an item's vector, Σ items.
        """
        del users
        width = int(self.encoder_bias.shape[0])
        kernels = sum(int(kernel.shape.num_elements()) for kernel in self.kernels)
        return {
            "encoder": LayerMacs(per_user=self.history_macs() + width),
            "layers between": LayerMacs(per_user=kernels),
            "decoder": LayerMacs(per_pair=float(items.sum())),
        }

    def _hidden(self, sums: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """The encoder's last hidden layer; `counts` gives the row's norm."""
        norm = tf.sqrt(tf.maximum(counts, 1.0))
        hidden = tf.tanh(sums / norm[:, None] + self.encoder_bias)
        return self._through(hidden, slice(self._latent_layer))

    def _decoded(self, latent: tf.Tensor) -> tf.Tensor:
        """The decoder's last hidden layer, [B, h]."""
        return self._through(latent, slice(self._latent_layer + 1, None))

    def _through(self, hidden: tf.Tensor, layers: slice) -> tf.Tensor:
        """The output of some of the layers between the tables."""
        for kernel, bias in zip(self.kernels[layers], self.biases[layers], strict=True):
            hidden = tf.tanh(tf.matmul(hidden, kernel) + bias)
        return hidden

    def _mean_weights(self) -> tuple[tf.Variable, tf.Variable]:
        return self.kernels[self._latent_layer], self.biases[self._latent_layer]

    def _penalty(self) -> tf.Tensor | float:
        if not self._regularization:
            return 0.0
        squares = [part.square_sum() for part in (self.encoder, self.decoder)]
        kernels = [*self.kernels, self.log_variance[0]]
        squares += [tf.reduce_sum(tf.square(kernel)) for kernel in kernels]
        return self._regularization * tf.add_n(squares)
