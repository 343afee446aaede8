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


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.8, 0.9, 0.95])
def test_all_but_a_few_rows_of_the_share_are_used(sparsity):
    """At half of the rows it was a third of them."""
    layer = _layer(9746, 1 - sparsity)
    taken = layer.quotient.shape[0] + layer.remainder.shape[0]
    share = (1 - sparsity) * 9746
    assert share - 4 <= taken <= share
    # A remainder serves as few rows as there are quotients.
    assert layer.quotient.shape[0] <= np.ceil(1 / (1 - sparsity)) + 1
    if sparsity < 0.9:  # where this is quickly looked at
        assert len(np.unique(layer.whole().numpy(), axis=0)) == 9746


@pytest.mark.parametrize(("operation", "neutral"), [("multiply", 1), ("add", 0)])
def test_the_large_table_begins_as_rows_do(operation, neutral):
    layer = _layer(2000, 0.1, operation)
    assert np.abs(layer.remainder.numpy().mean()) < 0.1
    assert np.abs(layer.quotient.numpy().mean() - neutral) < 0.3


@pytest.mark.parametrize(("rows", "share"), [(1000, 0.5), (1000, 0.1), (7, 0.9)])
def test_remainders_are_as_many_as_the_share_allows(rows, share):
    buckets = hashed.most_buckets(rows, share)
    fits = [m for m in range(1, rows + 1) if m + -(-rows // m) <= share * rows]
    assert buckets == max(fits)


def test_a_share_that_is_too_small():
    with pytest.raises(UserError, match=r"0.05 of 1000 rows, .* at least 64"):
        hashed.most_buckets(1000, 0.05)


def _layer(users, share, operation="multiply"):
    """Of tables of users alone."""
    tables = hashed.HashedTables(users, 1, False, share, operation)
    initial = keras.initializers.RandomNormal(stddev=0.5, seed=1)
    layer = tables.one("users", 4, "t", initial).table
    layer(tf.constant([0]))
    return layer
