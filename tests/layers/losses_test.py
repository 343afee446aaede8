import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.layers import losses

LN2, LN3 = np.log(2), np.log(3)
#: e^logit is 1, 2 and 3; and all 1.
LOGITS = tf.constant([[0, LN2, LN3], [0, 0, 0]], tf.float32)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # -log of σ(0) = 1/2, 1 - σ(ln 2) = 1/3, 1 - σ(ln 3) = 1/4; three times 1/2.
        ("bce", (np.log(2 * 3 * 4) + 3 * LN2) / 6),
        # σ(-ln 2) = 1/3, σ(-ln 3) = 1/4; twice 1/2.
        ("bpr", (np.log(3 * 4) + 2 * LN2) / 4),
        # 1 / (1 + 2 + 3); 1/3.
        ("sampled_softmax", (np.log(6) + LN3) / 2),
    ],
)
def test_hand_worked(name, expected):
    assert losses.find(name)(LOGITS).numpy() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["bce", "bpr", "sampled_softmax"])
def test_large_logits_stay_finite(name):
    logits = tf.Variable([[-1000.0, 1000.0]])
    with tf.GradientTape() as tape:
        loss = losses.find(name)(logits)
    assert np.isfinite(loss.numpy())
    gradient = tape.gradient(loss, logits).numpy()
    assert gradient[0, 0] < 0 < gradient[0, 1]


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(
        UserError, match=r"one of bce, bpr, sampled_softmax\. Received: 'mse'"
    ):
        losses.find("mse")
