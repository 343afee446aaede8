"""NeuMF: generalised matrix factorisation beside a multi-layer perceptron.

He et al., "Neural Collaborative Filtering", WWW 2017, sec. 3.4.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.backbones.base import Backbone, Prepared
from dsl_tf.errors import check_keys
from dsl_tf.layers import losses
from dsl_tf.layers.dropout import dropout
from dsl_tf.layers.logits import batch_items
from dsl_tf.layers.tables import TableFactory
from dsl_tf.types import LayerMacs, Split

#: Keys of the config that are widths of tables.
WIDTHS = ("gmf_dim", "mlp_dim")

#: The same of tables of which training reads nothing but rows that it looks up.
LOOKED_UP = WIDTHS


def build(
    config: config_dict.ConfigDict, split: Split, tables: TableFactory, seed: int
) -> "NeuMF":
    """NeuMF of the config node `model`.

    Raises:
      UserError: a key is out of range.
    """
    layers = config.mlp_layers
    check_keys(
        "model",
        config,
        gmf_dim=(config.gmf_dim >= 1, "at least 1"),
        mlp_dim=(config.mlp_dim >= 1, "at least 1"),
        mlp_layers=(layers and min(layers) >= 1, "one or more numbers from 1"),
        dropout=(0 <= config.dropout < 1, "in [0, 1)"),
        regularization=(config.regularization >= 0, "at least 0"),
    )
    return NeuMF(
        split.num_users,
        split.num_items,
        tables,
        gmf_dim=config.gmf_dim,
        mlp_dim=config.mlp_dim,
        mlp_layers=config.mlp_layers,
        dropout_rate=config.dropout,
        loss=config.loss,
        regularization=config.regularization,
        seed=seed,
    )


class NeuMF(Backbone):
    """logit = h · [p_u ⊙ q_i ; MLP([p'_u ; q'_i])] + b.

    GMF and MLP have tables of their own. A vector is the concatenation of the
    two rows: users and items are [n, gmf_dim + mlp_dim].

    The first MLP layer is linear in [p'_u ; q'_i] before its activation, so it
    is computed for users and items apart and added: a user's part serves all
    its items.

    Args:
      num_users: rows of the user vocabulary.
      num_items: rows of the item vocabulary.
      tables: makes the tables.
      gmf_dim: width of the GMF tables.
      mlp_dim: width of the MLP tables.
      mlp_layers: units of the MLP's layers, each with ReLU.
      dropout_rate: dropout on the input of each MLP layer but the first, in [0, 1).
      loss: `"bce"` (the paper's), `"bpr"` or `"sampled_softmax"`.
      regularization: weight of the squared norms of a positive's rows, the user's
        and the 1 + n items', summed; the mean over the batch.
      seed: seeds initial weights and dropout.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        tables: TableFactory,
        gmf_dim: int,
        mlp_dim: int,
        mlp_layers: Sequence[int],
        dropout_rate: float = 0.0,
        loss: str = "bce",
        regularization: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(name="neumf")
        self.num_users, self.num_items = num_users, num_items
        self._dims = (gmf_dim, mlp_dim)
        self._rate, self._seed = dropout_rate, seed
        self._loss = losses.find(loss)
        self._regularization = regularization

        def normal(stream: str) -> keras.initializers.Initializer:
            return keras.initializers.RandomNormal(
                stddev=0.01, seed=streams.key(seed, f"initial/{stream}")
            )

        def scaled(name: str, stream: str) -> keras.initializers.Initializer:
            key = streams.key(seed, f"initial/{stream}")
            return keras.initializers.get({"class_name": name, "config": {"seed": key}})

        self.gmf = tables.user_item(gmf_dim, "gmf", normal("gmf"))
        self.mlp = tables.user_item(mlp_dim, "mlp", normal("mlp"))
        widths = [2 * mlp_dim, *mlp_layers]
        self.kernels = [
            self.add_weight(
                name=f"mlp_kernel_{i}",
                shape=widths[i : i + 2],
                initializer=scaled("GlorotUniform", f"mlp_kernel_{i}"),
            )
            for i in range(len(mlp_layers))
        ]
        self.biases = [
            self.add_weight(name=f"mlp_bias_{i}", shape=[units], initializer="zeros")
            for i, units in enumerate(mlp_layers)
        ]
        self.head = self.add_weight(
            name="head",
            shape=[gmf_dim + widths[-1]],
            initializer=scaled("LecunUniform", "head"),
        )
        self.head_bias = self.add_weight(
            name="head_bias", shape=[], initializer="zeros"
        )

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Logits of a batch's positives and negatives, [B, 1 + n]."""
        return self._logits(inputs, training=False)[0]

    def compute_loss(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """The loss of a batch; see `Backbone.compute_loss`."""
        logits, squares = self._logits(inputs, training)
        return self._loss(logits) + self._regularization * squares

    def _logits(
        self, inputs: Mapping[str, tf.Tensor], training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits [B, 1 + n], and the squared norms to regularise, a scalar."""
        users = inputs["user"]
        items = batch_items(inputs)
        # Not through the vectors, whose parts would be joined to be taken apart.
        p, q = self.gmf.users(users), self.gmf.items(items)
        mlp_p, mlp_q = self.mlp.users(users), self.mlp.items(items)
        gmf = tf.einsum("bd,bnd->bn", p * self.head[: self._dims[0]], q)
        logits = gmf + self._tower(self._first_layer(mlp_p, mlp_q), training)
        if not self._regularization:
            return logits, tf.constant(0.0)
        return logits, 2.0 * losses.half_squared_norms(p, q, mlp_p, mlp_q)

    def _first_layer(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """ReLU of the first layer for MLP rows.

        Args:
          users: [B, mlp_dim].
          items: [B, n, mlp_dim], or [n, mlp_dim] for the same items for all.

        Returns:
          [B, n, units].
        """
        mlp_dim, kernel = self._dims[1], self.kernels[0]
        user_part = tf.matmul(users, kernel[:mlp_dim]) + self.biases[0]
        item_part = tf.matmul(tf.reshape(items, [-1, mlp_dim]), kernel[mlp_dim:])
        # Of three dimensions before the sum: where TensorFlow uses oneDNN, a product
        # [n, units] plus [1, 1, units] becomes one with a bias, of two dimensions.
        several = tf.shape(items if items.shape.rank == 3 else items[None])[:-1]
        shape = tf.concat([several, [kernel.shape[1]]], axis=0)
        return tf.nn.relu(user_part[:, None] + tf.reshape(item_part, shape))

    def _tower(self, hidden: tf.Tensor, training: bool) -> tf.Tensor:
        """The MLP's other layers and its share of the head, [B, n]."""
        shape = tf.shape(hidden)[:2]
        hidden = tf.reshape(hidden, [-1, self.kernels[0].shape[1]])
        for i in range(1, len(self.kernels)):
            if training:
                step = self.optimizer.iterations
                hidden = dropout(hidden, self._rate, self._seed, f"mlp_{i}", step)
            hidden = tf.nn.relu(tf.matmul(hidden, self.kernels[i]) + self.biases[i])
        share = tf.linalg.matvec(hidden, self.head[self._dims[0] :]) + self.head_bias
        return tf.reshape(share, shape)

    def user_vectors(
        self, query: Mapping[str, tf.Tensor], prepared: Prepared | None = None
    ) -> tf.Tensor:
        """[p_u ; p'_u], [B, gmf_dim + mlp_dim]."""
        del prepared
        rows = query["user_id"]
        return tf.concat([self.gmf.users(rows), self.mlp.users(rows)], axis=-1)

    def item_vectors(
        self, items: tf.Tensor | None = None, prepared: Prepared | None = None
    ) -> tf.Tensor:
        """[q_i ; q'_i] of items, or of all, [n, gmf_dim + mlp_dim]."""
        del prepared
        rows = tf.range(self.num_items) if items is None else items
        return tf.concat([self.gmf.items(rows), self.mlp.items(rows)], axis=-1)

    def interaction(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Logits of each user with each item, [B, n]."""
        gmf_dim = self._dims[0]
        p = users[:, :gmf_dim] * self.head[:gmf_dim]
        gmf = tf.matmul(p, items[:, :gmf_dim], transpose_b=True)
        hidden = self._first_layer(users[:, gmf_dim:], items[:, gmf_dim:])
        return gmf + self._tower(hidden, training=False)

    def macs(self, users: np.ndarray, items: np.ndarray) -> dict[str, LayerMacs]:
        """Multiply-accumulates of `interaction`.

        With h_1 … h_L the MLP's units: a user takes the scaling by the head
        and its half of the first layer, Σ users[gmf:] · h_1; an item its half;
        a pair the GMF product, Σ users[:gmf] · items[:gmf], the layers
        Σ h_l · h_{l+1} and the head's h_L.
        """
        gmf_dim = self._dims[0]
        units = [int(kernel.shape[1]) for kernel in self.kernels]
        layers = {
            "GMF": LayerMacs(
                per_user=float(users[:gmf_dim].sum()),
                per_pair=float((users[:gmf_dim] * items[:gmf_dim]).sum()),
            ),
            "MLP 1": LayerMacs(
                per_user=float(users[gmf_dim:].sum() * units[0]),
                per_item=float(items[gmf_dim:].sum() * units[0]),
            ),
        }
        for layer, (before, after) in enumerate(itertools.pairwise(units), 2):
            layers[f"MLP {layer}"] = LayerMacs(per_pair=before * after)
        return layers | {"output": LayerMacs(per_pair=units[-1])}
