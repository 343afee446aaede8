import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.sparsity import growth

GRADIENTS = np.array([[-3.0, 0.0], [0.5, 2.0]], np.float32)


def test_gradient_is_its_absolute_value():
    scores = growth.gradient(GRADIENTS.copy())
    np.testing.assert_array_equal(scores, [[3.0, 0.0], [0.5, 2.0]])


def test_find():
    assert growth.find("gradient") is growth.gradient
    with pytest.raises(UserError, match="one of gradient, random"):
        growth.find("grad")


def test_a_criterion_or_its_name():
    assert growth.given("gradient") is growth.given(growth.gradient) is growth.gradient
    assert growth.given("random") is growth.given(None) is None
    with pytest.raises(UserError, match="`grow_criterion` must be one of gradient, "):
        growth.given("gradients")
