import numpy as np
import tensorflow as tf

from dsl_tf.evaluation import references
from dsl_tf.types import Interactions


def test_popularity_counts_the_given_interactions():
    seen = Interactions(np.array([0, 1, 2], "i4"), np.array([3, 3, 0], "i4"))
    scores = references.popularity_scores(seen, num_items=5)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, [1, 0, 0, 2, 0])


def test_same_for_all_gives_every_user_the_same_row():
    score = references.same_for_all(np.array([1.0, 0.5], np.float32))
    np.testing.assert_array_equal(score(tf.constant([7, 8, 9])), [[1, 0.5]] * 3)
