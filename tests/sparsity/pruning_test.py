import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.sparsity import pruning


def test_magnitude_is_the_absolute_weight():
    scores = pruning.magnitude(np.array([-2.0, 0.5, -0.0, 1.0]), _not_asked)
    np.testing.assert_array_equal(scores, [2.0, 0.5, 0.0, 1.0])
    assert scores.dtype == np.float32


def test_scaled_magnitude_by_hand():
    values, use = np.array([-2.0, 0.5, 3.0]), np.array([4, 100, 0])
    scores = pruning.scaled_magnitude(values, lambda: use)
    np.testing.assert_array_equal(scores, [4.0, 5.0, 3.0])
    assert scores.dtype == np.float32


def _not_asked():
    raise AssertionError("the use of rows takes time to find")


def test_find():
    assert pruning.find("magnitude") is pruning.magnitude
    with pytest.raises(
        UserError, match=r"one of magnitude, scaled_magnitude\. Received: 'magnitud'\."
    ):
        pruning.find("magnitud")


def test_a_criterion_or_its_name():
    assert pruning.given("magnitude") is pruning.given(pruning.magnitude)
    with pytest.raises(UserError, match="`prune_criterion` must be one of magnitude"):
        pruning.given(3)
