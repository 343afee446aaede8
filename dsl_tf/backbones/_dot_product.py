"""Backbones whose scores are inner products."""

import numpy as np
import tensorflow as tf

from dsl_tf.backbones.base import Backbone
from dsl_tf.types import LayerMacs


class DotProductBackbone(Backbone):
    """A backbone whose scores are inner products with the item vectors.

    An export may then score the packed non-zeros of an item without building its
    vector.
    """

    def query_vectors(self, users: tf.Tensor) -> tf.Tensor:
        """What item vectors are multiplied with, [B, di] of user vectors [B, du].

        Uses only operations with a TFLite built-in.
        """
        return users

    def interaction(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Inner products, [B, n]."""
        return tf.matmul(self.query_vectors(users), items, transpose_b=True)

    def score_vectors(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Scores of all items by vectors, [B, num_items]: one product."""
        return self.interaction(users, items)

    def macs(self, users: np.ndarray, items: np.ndarray) -> dict[str, LayerMacs]:
        """A pair takes Σ users · items."""
        return {"inner product": LayerMacs(per_pair=float((users * items).sum()))}
