"""ConvNCF: a convolutional network over the outer product of two embeddings.

He et al., "Outer Product-based Neural Collaborative Filtering", IJCAI 2018, sec. 3.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.backbones._tables import TableVectors
from dsl_tf.errors import check_keys
from dsl_tf.layers import losses, outer_product
from dsl_tf.layers.blockwise import mean_in_blocks
from dsl_tf.layers.logits import batch_items
from dsl_tf.layers.tables import TableFactory
from dsl_tf.types import LayerMacs, Split

#: Activations of the first layer that exist at once, 8 MiB: 64 pairs of the
#: paper's sizes. Pairs scored a second on one core with 8, 16, 64, 128, 256, 1682
#: at once: 5.2, 8.2, 8.4, 8.8, 5.9, 4.6 thousand.
ACTIVATIONS_AT_ONCE = 1 << 21

#: Keys of the config that are widths of tables of which training reads nothing but rows
#: that it looks up. Not any width will do.
LOOKED_UP = ("embedding_dim",)


def build(
    config: config_dict.ConfigDict, split: Split, tables: TableFactory, seed: int
) -> "ConvNCF":
    """ConvNCF of the config node `model`.

    Raises:
      UserError: a key is out of range.
    """
    width = config.embedding_dim
    check_keys(
        "model",
        config,
        embedding_dim=(
            width >= 2 and width & (width - 1) == 0,
            "a power of two from 2, as each layer halves the map",
        ),
        channels=(config.channels >= 1, "at least 1"),
        initial_stddev=(config.initial_stddev > 0, "above 0"),
        **{
            key: (config[key] >= 0, "at least 0")
            for key in (
                "embedding_regularization",
                "conv_regularization",
                "output_regularization",
            )
        },
    )
    return ConvNCF(
        split.num_users,
        split.num_items,
        tables,
        embedding_dim=width,
        channels=config.channels,
        loss=config.loss,
        regularization=(
            config.embedding_regularization,
            config.conv_regularization,
            config.output_regularization,
        ),
        initial_stddev=config.initial_stddev,
        seed=seed,
    )


def pretraining(config: config_dict.ConfigDict) -> config_dict.ConfigDict | None:
    """The run of matrix factorisation whose tables ConvNCF starts from, or None.

    The original starts from MF-BPR: products of small random embeddings vanish
    beside the bias of the first layer, and there is little to learn from.

    Args:
      config: the whole config; `model.pretraining_epochs` is the most epochs of
        that run, 0 is none of it.

    Raises:
      UserError: a key is out of range.
    """
    model = config.model
    epochs = model.pretraining_epochs
    rate, regularization = (
        model.pretraining_learning_rate,
        model.pretraining_regularization,
    )
    check_keys(
        "model",
        model,
        pretraining_epochs=(epochs >= 0, "at least 0"),
        pretraining_learning_rate=(rate > 0, "above 0"),
        pretraining_regularization=(regularization >= 0, "at least 0"),
    )
    if not epochs:
        return None
    config = config.copy_and_resolve_references()
    config.model = config_dict.ConfigDict(
        {
            "name": "mf",
            "embedding_dim": model.embedding_dim,
            "loss": "bpr",
            "initial_stddev": model.initial_stddev,
            "regularization": regularization,
        }
    )
    config.train.update(epochs=epochs, learning_rate=rate)
    return config


class ConvNCF(TableVectors):
    """logit = h · CNN(p_u q_iᵀ) + b.

    The outer product is a map of d x d, with one channel. Each of log2(d) layers
    is a convolution of 2 x 2 with stride 2 and ReLU, which halves the map, until
    it is 1 x 1.

    The first layer is linear in the map before its activation: at (i, j) it is
    Σ_a p[2i+a] Σ_b q[2j+b] K[a, b]. So the map is never made; the inner sum is
    one for all i. On one core this scores a third more pairs a second.

    A pair has (d / 2)² · channels activations in the first layer alone. So the
    network never sees all pairs of a call at once, in training either.

    Args:
      num_users: rows of the user vocabulary.
      num_items: rows of the item vocabulary.
      tables: makes the tables.
      embedding_dim: d, a power of two.
      channels: of each layer.
      loss: `"bpr"` (the paper's), `"bce"` or `"sampled_softmax"`.
      regularization: weights of half the squared norms of: the rows of a batch,
        as many times as it uses them, over its positives; the convolutions; the
        output layer.
      initial_stddev: of the embeddings, which are truncated normal.
      seed: seeds initial weights.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        tables: TableFactory,
        embedding_dim: int,
        channels: int,
        loss: str = "bpr",
        regularization: tuple[float, float, float] = (0.0, 0.0, 0.0),
        initial_stddev: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__(name="convncf")
        self.num_users, self.num_items = num_users, num_items
        self._loss = losses.find(loss)
        self._regularization = regularization

        def normal(stream: str, stddev: float) -> keras.initializers.Initializer:
            key = streams.key(seed, f"initial/{stream}")
            return keras.initializers.TruncatedNormal(stddev=stddev, seed=key)

        self.tables = tables.user_item(
            embedding_dim, "convncf", normal("convncf", initial_stddev)
        )
        num_layers = embedding_dim.bit_length() - 1
        self.kernels = [
            self.add_weight(
                name=f"conv_kernel_{i}",
                shape=[2, 2, channels if i else 1, channels],
                initializer=normal(f"conv_kernel_{i}", 0.1),
            )
            for i in range(num_layers)
        ]
        self.biases = [
            self.add_weight(
                name=f"conv_bias_{i}",
                shape=[channels],
                initializer=keras.initializers.Constant(0.1),
            )
            for i in range(num_layers)
        ]
        self.head = self.add_weight(
            name="head", shape=[channels], initializer=normal("head", 0.1)
        )
        self.head_bias = self.add_weight(
            name="head_bias", shape=[], initializer=normal("head_bias", 0.1)
        )
        activations = (embedding_dim // 2) ** 2 * channels
        self._pairs_at_once = max(1, ACTIVATIONS_AT_ONCE // activations)

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Logits of a batch's positives and negatives, [B, 1 + n]."""
        return outer_product.logits(*self._rows(inputs), *self._network())

    def compute_loss(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """The loss of a batch; see `Backbone.compute_loss`."""
        users, items = self._rows(inputs)

        def loss_of_some(*parts: tf.Tensor) -> tf.Tensor:
            return self._loss(outer_product.logits(*parts))

        loss = mean_in_blocks(
            loss_of_some, self._pairs_at_once, users, items, self._network()
        )
        embeddings, convolutions, output = self._regularization
        if embeddings:
            loss += embeddings * losses.half_squared_norms(users, items)
        for factor, weights in (
            (convolutions, [*self.kernels, *self.biases]),
            (output, [self.head, self.head_bias]),
        ):
            if factor:
                loss += factor * tf.add_n([tf.nn.l2_loss(each) for each in weights])
        return loss

    def _rows(self, inputs: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Of a batch's users [B, d] and items [B, 1 + n, d]."""
        return self.tables.users(inputs["user"]), self.tables.items(batch_items(inputs))

    def _network(self) -> list[tf.Tensor]:
        """What `outer_product.logits` wants behind users and items."""
        weights = [*self.kernels, *self.biases, self.head, self.head_bias]
        return [tf.convert_to_tensor(each) for each in weights]

    def interaction(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Logits of each user with each item, [B, n].

        However many pairs are asked for, `ACTIVATIONS_AT_ONCE` are in memory.
        """
        network, at_once = self._network(), self._pairs_at_once
        num_items = tf.shape(items)[0]
        pairs = tf.shape(users)[0] * num_items

        def some(pair: tf.Tensor) -> tf.Tensor:
            p, q = (
                tf.gather(users, pair // num_items),
                tf.gather(items, pair % num_items),
            )
            return outer_product.logits(p, q[:, None], *network)[:, 0]

        known = users.shape[0], items.shape[0]
        if None not in known and known[0] * known[1] <= at_once:
            return tf.reshape(some(tf.range(pairs)), known)
        blocks = (pairs + at_once - 1) // at_once

        def block(
            number: tf.Tensor, logits: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.TensorArray]:
            # TFLite wants all blocks of one size: the last one repeats a pair.
            pair = tf.minimum(number * at_once + tf.range(at_once), pairs - 1)
            return number + 1, logits.write(number, some(pair))

        _, logits = tf.while_loop(
            lambda number, _: number < blocks,
            block,
            (
                tf.constant(0),
                tf.TensorArray(tf.float32, blocks, element_shape=[at_once]),
            ),
            parallel_iterations=1,
        )
        logits = tf.reshape(logits.stack(), [-1])[:pairs]
        return tf.reshape(logits, [-1, num_items])

    def macs(self, users: np.ndarray, items: np.ndarray) -> dict[str, LayerMacs]:
        """Multiply-accumulates of `interaction`, all of them of a pair.

        With C channels: the first layer's inner sum Σ items · 2C and its outer
        sum Σ users · C for each j where q[2j] or q[2j+1] is not zero, taken as
        independent; the other layers, at (d / 2^l)² places, 4C² each; the
        output C.
        """
        channels = int(self.head.shape[0])
        filled = 1 - (1 - items[0::2]) * (1 - items[1::2])
        first = (2 * items.sum() + users.sum() * filled.sum()) * channels
        layers = {"convolution 1": LayerMacs(per_pair=float(first))}
        for layer in range(2, len(self.kernels) + 1):
            places = 4 ** (len(self.kernels) - layer)
            macs = LayerMacs(per_pair=places * 4 * channels**2)
            layers[f"convolution {layer}"] = macs
        return layers | {"output": LayerMacs(per_pair=channels)}
