"""The same scores for every user: how often an item was interacted with."""

from collections.abc import Mapping

import tensorflow as tf

from dsl_tf.backbones._dot_product import DotProductBackbone
from dsl_tf.backbones.base import Prepared, count
from dsl_tf.evaluation.references import popularity_scores
from dsl_tf.types import Split


class Popularity(DotProductBackbone):
    """score of i = training interactions of i. Nothing is trained.

    Args:
      split: its training part is counted.
    """

    exportable = False
    answers_histories = True

    def __init__(self, split: Split) -> None:
        super().__init__(name="popularity")
        self.num_users, self.num_items = split.num_users, split.num_items
        scores = popularity_scores(split.train, split.num_items)
        self._scores = tf.constant(scores[:, None])
        self.held_bytes = scores.nbytes

    def compute_loss(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """There is none.

        Raises:
          NotImplementedError: always.
        """
        raise NotImplementedError

    def user_vectors(
        self, query: Mapping[str, tf.Tensor], prepared: Prepared | None = None
    ) -> tf.Tensor:
        """1, [B, 1]."""
        return tf.ones([count(query), 1])

    def item_vectors(
        self, items: tf.Tensor | None = None, prepared: Prepared | None = None
    ) -> tf.Tensor:
        """How often each item was interacted with, [n, 1]."""
        return self._scores if items is None else tf.gather(self._scores, items)
