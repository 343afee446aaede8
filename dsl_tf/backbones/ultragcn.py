"""UltraGCN: matrix factorisation whose loss stands for the propagation of a graph.

Mao et al., "UltraGCN", CIKM 2021; where paper and authors' code differ, the code.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.backbones._dot_product import DotProductBackbone
from dsl_tf.backbones._tables import TableVectors
from dsl_tf.data.graph import degrees, isolated, item_neighbours
from dsl_tf.data.pipelines import Batches
from dsl_tf.errors import check_keys
from dsl_tf.layers.logits import by_group
from dsl_tf.layers.tables import TableFactory
from dsl_tf.types import Split

#: Keys of the config that are widths of tables.
WIDTHS = ("embedding_dim",)

#: The same of tables of which training reads nothing but rows that it looks up.
LOOKED_UP = WIDTHS


def build(
    config: config_dict.ConfigDict, split: Split, tables: TableFactory, seed: int
) -> "UltraGCN":
    """UltraGCN of the config node `model`, over the graph of the training part.

    Raises:
      UserError: a key is out of range.
    """
    weights, items = config.weights, split.num_items
    check_keys(
        "model",
        config,
        embedding_dim=(config.embedding_dim >= 1, "at least 1"),
        initial_stddev=(config.initial_stddev > 0, "above 0"),
        weights=(len(weights) == 4 and min(weights) >= 0, "four numbers from 0"),
        negative_weight=(config.negative_weight >= 0, "at least 0"),
        item_weight=(config.item_weight >= 0, "at least 0"),
        item_neighbours=(
            1 <= config.item_neighbours <= items,
            f"from 1 to the number of items, {items:,}",
        ),
        regularization=(config.regularization >= 0, "at least 0"),
    )
    return UltraGCN(
        split,
        tables,
        embedding_dim=config.embedding_dim,
        weights=config.weights,
        negative_weight=config.negative_weight,
        item_weight=config.item_weight,
        num_neighbours=config.item_neighbours,
        regularization=config.regularization,
        initial_stddev=config.initial_stddev,
        seed=seed,
    )


class UltraGCN(TableVectors, DotProductBackbone):
    """logit = e_u · e_i, trained to be what infinitely many layers would give.

    With s_ui the logit and

        β_ui = sqrt(d_u + 1) / d_u · 1 / sqrt(d_i + 1)

    of degrees d in the training part, the loss of a batch is

        Σ_(u,i) [ -(w1 + w2 β_ui) log σ(s_ui)
                  - negative_weight · mean_j (w3 + w4 β_uj) log σ(-s_uj)
                  - item_weight · Σ_(j in neighbours of i) ω_ij log σ(s_uj) ]
        + regularization / 2 · (squared norm of both tables).

    It is a sum over the positives, as in the authors' code, and no mean: the
    norm counts once a batch, so the greater the batch, the less it counts.

    A user without training items has β = 0. Neighbours of an item and ω are those
    of `dsl_tf.data.graph.item_neighbours`.

    Args:
      split: its training part is the graph.
      tables: makes the tables.
      embedding_dim: d.
      weights: w1, w2, w3, w4.
      negative_weight: of the negatives of a positive, whose loss is their mean.
      item_weight: λ, of the item graph; 0: without it.
      num_neighbours: of an item, itself among them, as in the authors' code.
      regularization: γ. All rows, as in the authors' code; it takes no more time
        than those of the batch, since Adam passes over all rows anyway.
      initial_stddev: of the weights, which are normal.
      seed: seeds initial weights.
    """

    sums_losses = True

    def __init__(
        self,
        split: Split,
        tables: TableFactory,
        embedding_dim: int,
        weights: Sequence[float],
        negative_weight: float,
        item_weight: float,
        num_neighbours: int = 10,
        regularization: float = 1e-4,
        initial_stddev: float = 1e-4,
        seed: int = 0,
    ) -> None:
        super().__init__(name="ultragcn")
        self.num_users, self.num_items = split.num_users, split.num_items
        self._weights = tuple(weights)
        self._negative_weight = negative_weight
        self._item_weight = item_weight
        self._regularization = regularization
        initial = keras.initializers.RandomNormal(
            stddev=initial_stddev, seed=streams.key(seed, "initial/ultragcn")
        )
        self.tables = tables.user_item(embedding_dim, "ultragcn", initial)
        d_u, d_i = degrees(split.train, self.num_users, self.num_items)
        if outside := isolated(d_u, d_i):
            self.findings = (f"{outside}: they are never a positive.",)
        beta = np.divide(np.sqrt(d_u + 1), d_u, where=d_u > 0, out=np.zeros(len(d_u)))
        self._user_beta = tf.constant(beta, tf.float32)
        self._item_beta = tf.constant(1 / np.sqrt(d_i + 1), tf.float32)
        self._num_neighbours = num_neighbours if item_weight else 0
        neighbours, omega = item_neighbours(
            split.train, self.num_users, self.num_items, self._num_neighbours
        )
        self._neighbours, self._omega = tf.constant(neighbours), tf.constant(omega)

    def batches(
        self, split: Split, config: config_dict.ConfigDict, seed: int
    ) -> Batches:
        """Positives with negatives; see `Backbone.batches`."""
        batches = super().batches(split, config, seed)
        size, shares, each = batches.size, batches.shares, self._num_neighbours
        if not each:
            return batches
        more = size.positives * each
        near = np.bincount(
            self._neighbours.numpy().ravel(),
            np.repeat(shares.positives / each, each),
            minlength=self.num_items,
        )

        def joined(share: np.ndarray, count: int) -> np.ndarray:
            return np.average([share, near], axis=0, weights=[count, more])

        batches.shares = shares._replace(
            items=joined(shares.items, size.items),
            pairs=joined(shares.pairs, size.pairs),
        )
        batches.size = size._replace(items=size.items + more, pairs=size.pairs + more)
        return batches

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Logits of a batch's positives and their negatives, [B, 1 + n]."""
        positive, negative, _ = self._logits(inputs)
        of_each = tf.reshape(negative, [-1, tf.shape(negative)[2]])
        return tf.concat([positive[:, None], of_each[: tf.size(positive)]], axis=1)

    def compute_loss(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """The loss of a batch; see the class. A sum over the batch."""
        item, drawn = inputs["item"], inputs["negatives"]
        positive, negative, neighbour = self._logits(inputs)
        w1, w2, w3, w4 = self._weights
        user_beta = tf.gather(self._user_beta, inputs["user"])
        beta = user_beta * tf.gather(self._item_beta, item)
        loss = tf.reduce_sum((w1 + w2 * beta) * tf.nn.softplus(-positive))
        each = tf.nn.softplus(negative)
        item_beta = tf.gather(self._item_beta, drawn)
        # Σ_j of each loss and of β_j times it, without a tensor of all weights.
        factors = tf.stack([tf.ones_like(item_beta), item_beta], axis=2)
        sums = tf.reshape(tf.matmul(each, factors), [-1, 2])[: tf.size(item)]
        of_negatives = w3 * sums[:, 0] + w4 * user_beta * sums[:, 1]
        of_negatives /= tf.cast(tf.shape(drawn)[1], tf.float32)
        loss += self._negative_weight * tf.reduce_sum(of_negatives)
        if self._item_weight:
            of_neighbours = tf.gather(self._omega, item) * tf.nn.softplus(-neighbour)
            loss += self._item_weight * tf.reduce_sum(of_neighbours)
        if self._regularization:
            loss += self._regularization / 2 * self.tables.square_sum()
        return loss

    def _logits(
        self, inputs: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Of a batch's positives [B], negatives [G, S, n] and neighbours [B, k].

        The positives are taken in order in G groups of S, the last one filled up
        with zero vectors.
        """
        item, drawn = inputs["item"], inputs["negatives"]
        neighbours = tf.gather(self._neighbours, item)
        # One look-up for all items: rows that occur twice are read once.
        parts = (item, neighbours, drawn)
        rows = self.tables.items(tf.concat([tf.reshape(p, [-1]) for p in parts], 0))
        q, near, q_negative = (
            tf.reshape(part, tf.concat([tf.shape(like), [rows.shape[1]]], axis=0))
            for part, like in zip(
                tf.split(rows, [tf.size(part) for part in parts]), parts, strict=True
            )
        )
        p = self.tables.users(inputs["user"])
        grouped = by_group(p, tf.shape(drawn)[0])
        negative = tf.matmul(grouped, q_negative, transpose_b=True)
        return tf.reduce_sum(p * q, 1), negative, tf.linalg.matvec(near, p)
