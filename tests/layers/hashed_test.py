import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.layers import hashed


@pytest.mark.parametrize("operation", ["multiply", "add"])
def test_rows_by_hand(rng, operation):
    initial = keras.initializers.RandomNormal(stddev=0.5, seed=1)
    layer = hashed.QuotientRemainderEmbedding(11, 3, 4, initial, operation)
    layer(tf.constant([0]))
    assert layer.quotient.shape == (3, 3)
    assert layer.remainder.shape == (4, 3)
    q, r = layer.quotient.numpy(), layer.remainder.numpy()
    rows = np.array([[10, 0], [7, 7]])
    join = np.multiply if operation == "multiply" else np.add
    expected = join(q[rows // 4], r[rows % 4])
    np.testing.assert_allclose(layer(rows), expected, rtol=1e-6)
    whole = layer.whole().numpy()
    np.testing.assert_allclose(whole[rows], expected, rtol=1e-6)
    assert len(np.unique(whole, axis=0)) == 11
    inputs = rng.normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_allclose(
        layer.products(tf.constant(inputs)), inputs @ whole.T, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("rows", "share"), [(1000, 0.5), (1000, 0.1), (7, 0.9)])
def test_the_tables_are_as_large_as_the_share_allows(rows, share):
    buckets = hashed.fewest_buckets(rows, share)
    taken = -(-rows // buckets) + buckets
    assert taken <= share * rows
    others = [-(-rows // m) + m for m in range(1, rows + 1)]
    assert taken == max(
        each for each in others[: int(rows**0.5)] if each <= share * rows
    )


def test_a_share_that_is_too_small():
    with pytest.raises(UserError, match=r"0.05 of 1000 rows, .* at least 64"):
        hashed.fewest_buckets(1000, 0.05)
