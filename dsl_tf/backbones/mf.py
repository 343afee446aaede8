"""Matrix factorisation: the inner product of a user's and an item's row.

Koren et al. 2009; with `bpr`, Rendle et al., "BPR", UAI 2009.
"""

from collections.abc import Mapping

import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.backbones._dot_product import DotProductBackbone
from dsl_tf.backbones._tables import TableVectors
from dsl_tf.errors import check_keys
from dsl_tf.layers import losses
from dsl_tf.layers.logits import dot_logits
from dsl_tf.layers.tables import TableFactory
from dsl_tf.types import Split

#: Keys of the config that are widths of tables.
WIDTHS = ("embedding_dim",)

#: The same of tables of which training reads nothing but rows that it looks up.
LOOKED_UP = WIDTHS


def build(
    config: config_dict.ConfigDict, split: Split, tables: TableFactory, seed: int
) -> "MF":
    """MF of the config node `model`.

    Raises:
      UserError: a key is out of range.
    """
    check_keys(
        "model",
        config,
        embedding_dim=(config.embedding_dim >= 1, "at least 1"),
        initial_stddev=(config.initial_stddev > 0, "above 0"),
        regularization=(config.regularization >= 0, "at least 0"),
    )
    return MF(
        split.num_users,
        split.num_items,
        tables,
        embedding_dim=config.embedding_dim,
        loss=config.loss,
        regularization=config.regularization,
        initial_stddev=config.initial_stddev,
        seed=seed,
    )


class MF(TableVectors, DotProductBackbone):
    """logit = p_u · q_i, without biases.

    Args:
      num_users: rows of the user vocabulary.
      num_items: rows of the item vocabulary.
      tables: makes the tables.
      embedding_dim: d.
      loss: `"bpr"`, `"bce"` or `"sampled_softmax"`.
      regularization: weight of half the squared norms of the rows of a batch, over
        its positives: of negatives that positives share once for each group.
      initial_stddev: of the weights, which are normal.
      seed: seeds initial weights.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        tables: TableFactory,
        embedding_dim: int,
        loss: str = "bpr",
        regularization: float = 0.0,
        initial_stddev: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__(name="mf")
        self.num_users, self.num_items = num_users, num_items
        self._loss = losses.find(loss)
        self._regularization = regularization
        initial = keras.initializers.RandomNormal(
            stddev=initial_stddev, seed=streams.key(seed, "initial/mf")
        )
        self.tables = tables.user_item(embedding_dim, "mf", initial)

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Logits of a batch's positives and negatives, [B, 1 + n]."""
        return dot_logits(*self._rows(inputs))

    def compute_loss(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """The loss of a batch; see `Backbone.compute_loss`."""
        rows = self._rows(inputs)
        loss = self._loss(dot_logits(*rows))
        if not self._regularization:
            return loss
        return loss + losses.half_squared_norms(*rows) * self._regularization

    def _rows(
        self, inputs: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Of a batch's users [B, d], items [B, d] and negatives [G, n, d]."""
        item, negatives = inputs["item"], inputs["negatives"]
        # One look-up for all items: rows that occur twice are read once.
        rows = self.tables.items(tf.concat([item, tf.reshape(negatives, [-1])], 0))
        count = tf.size(item)
        width = rows.shape[1]
        shape = tf.concat([tf.shape(negatives), [width]], axis=0)
        negative = tf.reshape(rows[count:], shape)
        negative.set_shape([*negatives.shape, width])
        return self.tables.users(inputs["user"]), rows[:count], negative
