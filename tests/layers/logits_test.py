import numpy as np
import pytest

from dsl_tf.layers import logits


@pytest.mark.parametrize(
    ("groups", "group_of"),
    [(1, [0, 0, 0, 0, 0]), (2, [0, 0, 0, 1, 1]), (5, [0, 1, 2, 3, 4])],
)
def test_each_positive_has_the_negatives_of_its_group(rng, groups, group_of):
    users, positives = rng.normal(size=(2, 5, 4)).astype(np.float32)
    negatives = rng.normal(size=(groups, 3, 4)).astype(np.float32)
    found = logits.dot_logits(users, positives, negatives)
    expected = np.einsum("bd,bnd->bn", users, negatives[group_of])
    np.testing.assert_allclose(found[:, 1:], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[:, 0], (users * positives).sum(1), rtol=1e-4)
    item = np.arange(5, dtype=np.int32)
    drawn = np.arange(3 * groups, dtype=np.int32).reshape(groups, 3)
    items = logits.batch_items({"item": item, "negatives": drawn}).numpy()
    np.testing.assert_array_equal(items[:, 0], item)
    np.testing.assert_array_equal(items[:, 1:], drawn[group_of])
