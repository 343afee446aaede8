import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.sparsity import pruning


def test_magnitude_is_the_absolute_weight():
    scores = pruning.magnitude(np.array([-2.0, 0.5, -0.0, 1.0]))
    np.testing.assert_array_equal(scores, [2.0, 0.5, 0.0, 1.0])
    assert scores.dtype == np.float32


def test_find():
    assert pruning.find("magnitude") is pruning.magnitude
    with pytest.raises(UserError, match=r"one of magnitude\. Received: 'magnitud'\."):
        pruning.find("magnitud")
