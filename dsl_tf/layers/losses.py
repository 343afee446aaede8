"""Losses over one positive and n sampled negatives, and what is added to them."""

from collections.abc import Callable, Mapping
from typing import Protocol

import tensorflow as tf

from dsl_tf.plugins import choose
from dsl_tf.types import LayerMacs, StepSize

#: Maps logits [B, 1 + n], the positive first, to a scalar.
PairLoss = Callable[[tf.Tensor], tf.Tensor]


class LossTerm(Protocol):
    """What a method adds to the loss of a training step, with what that costs."""

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Of a batch, a scalar."""

    @property
    def held_bytes(self) -> int:
        """Of numbers that it learns from and that are no variables of the model."""

    def macs(
        self, layers: Mapping[str, LayerMacs], size: StepSize
    ) -> dict[str, LayerMacs]:
        """Multiply-accumulates that it adds to a step, by names of its own.

        All of them are `once` and `once_backward`: they come once a step.

        Args:
          layers: of the model that is trained.
          size: of a step.
        """


def bce(logits: tf.Tensor) -> tf.Tensor:
    """Binary cross-entropy over all pairs (NCF eq. 7), the mean over pairs."""
    labels = tf.concat([tf.ones_like(logits[:, :1]), tf.zeros_like(logits[:, 1:])], 1)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses)


def bpr(logits: tf.Tensor) -> tf.Tensor:
    """-log σ(positive - negative), the mean over pairs (Rendle et al. 2009)."""
    return tf.reduce_mean(tf.nn.softplus(logits[:, 1:] - logits[:, :1]))


def sampled_softmax(logits: tf.Tensor) -> tf.Tensor:
    """-log softmax of the positive among its negatives, the mean over positives."""
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - logits[:, 0])


def half_squared_norms(*rows: tf.Tensor) -> tf.Tensor:
    """½ Σ of the squares of the rows of a batch, over its users.

    Args:
      *rows: those of the users [B, d] first, then others [..., d].
    """
    total = tf.add_n([tf.nn.l2_loss(each) for each in rows])
    return total / tf.cast(tf.shape(rows[0])[0], total.dtype)


_LOSSES: dict[str, PairLoss] = {
    "bce": bce,
    "bpr": bpr,
    "sampled_softmax": sampled_softmax,
}


def find(name: str) -> PairLoss:
    """The loss of a name.

    Raises:
      UserError: no such loss; the message lists those that exist.
    """
    return choose(_LOSSES, name, "model.loss")
