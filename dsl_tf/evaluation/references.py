"""Recommenders without a model, to stand beside every result."""

import numpy as np
import tensorflow as tf

from dsl_tf.evaluation.ranking import Score
from dsl_tf.types import Interactions


def popularity_scores(interactions: Interactions, num_items: int) -> np.ndarray:
    """How often each item was interacted with, float32 [num_items].

    Args:
      interactions: what the recommender may know: `split.train` beside a model
        trained on it, training and validation beside a refit one.
      num_items: size of the catalogue.
    """
    counts = np.bincount(interactions.items, minlength=num_items)
    return counts.astype(np.float32)


def same_for_all(scores: np.ndarray) -> Score:
    """A scoring function that gives every user the same scores [num_items]."""
    scores = tf.constant(scores, tf.float32)

    def score(users: tf.Tensor) -> tf.Tensor:
        return tf.tile(scores[None, :], [tf.shape(users)[0], 1])

    return score
