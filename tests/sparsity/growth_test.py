import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.sparsity import growth

GRADIENTS = np.array([[-3.0, 0.0], [0.5, 2.0]], np.float32)


def test_gradient_is_its_absolute_value(rng):
    scores = growth.gradient(GRADIENTS, rng)
    np.testing.assert_array_equal(scores, [[3.0, 0.0], [0.5, 2.0]])


def test_random_makes_every_position_a_candidate_whatever_the_gradient():
    gradients = np.zeros((1000, 8), np.float32)
    first, second = (growth.random(gradients, np.random.default_rng(1)) for _ in "ab")
    np.testing.assert_array_equal(first, second)
    assert first.shape == gradients.shape
    assert 0 < first.min() < 0.01
    assert 0.99 < first.max() <= 1


def test_find():
    assert growth.find("random") is growth.random
    with pytest.raises(UserError, match="one of gradient, random"):
        growth.find("grad")
