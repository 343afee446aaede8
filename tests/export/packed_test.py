"""Packed and dense tables, times codings: what they hold, and in how many bytes."""

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl_tf.export.codings import CODINGS, encode
from dsl_tf.export.offsets import Offsets
from dsl_tf.export.packed import BitmapTable, ColumnsTable
from dsl_tf.export.tables import DenseTable
from dsl_tf.layers.rounding import Rounding

KINDS = (DenseTable, BitmapTable, ColumnsTable)


def table_of(rows, width, sparsity, seed=0):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, width)).astype(np.float32)
    return np.where(rng.random(table.shape) < sparsity, np.float32(0), table)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    coding=st.sampled_from(sorted(CODINGS)),
    rows=st.integers(1, 150),
    width=st.integers(1, 21),
    sparsity=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    seed=st.integers(0, 9),
)
def test_rows_products_and_bytes(rounded, kind, coding, rows, width, sparsity, seed):
    table = table_of(rows, width, sparsity, seed)
    rng = np.random.default_rng(seed)
    table[rng.integers(rows)] = 0  # an empty row,
    table[rng.integers(rows)] = 1.5  # and a full one
    coded = encode(scipy.sparse.csr_matrix(table), coding)
    stored, expected = kind(coded), rounded(table, coding)
    if coding == "float32":
        np.testing.assert_array_equal(expected, table)
    ids = rng.integers(rows, size=rng.integers(1, 9))
    found = stored.rows(ids).numpy()
    np.testing.assert_array_equal(found.view(np.int32), expected[ids].view(np.int32))
    count = int(rng.integers(1, rows + 1))
    begin = int(rng.integers(rows - count + 1))
    vector = rng.normal(size=(1, width)).astype(np.float32)
    scores = stored.dot(tf.constant(vector), count)(tf.constant(begin))
    wanted = vector @ expected[begin : begin + count].T
    np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-4)
    scale = 0 if coded.scale is None else 4 * -(-rows // 2)
    assert stored.nbytes == kind.size(coded.extent) + scale


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("coding", ["float32", "float16"])
def test_products_of_one_sign_are_exact(kind, coding, rounded):
    """Sums over many rows must not cost digits of the single row's score."""
    table = np.abs(table_of(1000, 50, 0.5))
    # Rows differ by much in size, as those of popular and rare items do.
    table *= np.linspace(3, 0.1, 1000, dtype=np.float32)[:, None]
    vector = -np.abs(table_of(1, 50, 0.0, seed=1))
    stored = kind(encode(scipy.sparse.csr_matrix(table), coding))
    wanted = vector.astype(np.float64) @ rounded(table, coding).astype(np.float64).T
    for count in (kind.rows_at_once, 1000):
        scores = stored.dot(tf.constant(vector), count)(tf.constant(0))
        np.testing.assert_allclose(scores, wanted[:, :count], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_products_with_a_zero_vector(kind):
    stored = kind(encode(scipy.sparse.csr_matrix(table_of(9, 5, 0.5)), "float32"))
    scores = stored.dot(tf.zeros([1, 5]), 9)(tf.constant(0))
    np.testing.assert_array_equal(scores, np.zeros([1, 9]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [256, 257, 700])
def test_wide_tables(kind, width):
    table = table_of(90, width, 0.5)
    table[3] = 1
    stored = kind(encode(scipy.sparse.csr_matrix(table), "float32"))
    ids = np.array([3, 89, 0])
    np.testing.assert_array_equal(stored.rows(ids), table[ids])
    vector = tf.ones([1, width])
    np.testing.assert_allclose(
        stored.dot(vector, 60)(tf.constant(30))[0], table[30:].sum(1), atol=1e-3
    )


def test_bytes_by_hand():
    """128 rows of 16, a quarter of the weights: 512 non-zeros."""
    table = np.zeros((128, 16), np.float32)
    table[:, ::4] = 1.0
    matrix = scipy.sparse.csr_matrix(table)
    # 129 offsets in 3 groups of 64 and one more: 4 int32 and 256 int16.
    offsets = 4 * 4 + 2 * 256
    assert Offsets.size(128, 16) == offsets
    coded = encode(matrix, "float32")
    assert DenseTable.size(coded.extent) == 128 * 16 * 4
    assert BitmapTable.size(coded.extent) == 4 * 513 + offsets + 128 * 2
    assert ColumnsTable.size(coded.extent) == 4 * 513 + offsets + 513
    assert BitmapTable.size(encode(matrix, "int4").extent) == 257 + offsets + 128 * 2
    assert DenseTable.size(encode(matrix, "int4").extent) == 128 * 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_columns_of_steps(kind, sparsity):
    """What training rounded is read to the bit, and multiplied as it is."""
    rng = np.random.default_rng(3)
    codes = np.where(rng.random((70, 9)) < sparsity, 0, rng.integers(-7, 8, (70, 9)))
    steps = np.array([0.21, 0.013, 0.21] * 3, np.float32)
    table = codes.astype(np.float32) * steps
    roundings = (Rounding(0.013, 7), Rounding(0.21, 7))
    coded = encode(scipy.sparse.csr_matrix(table), "int4", roundings)
    stored = kind(coded)
    np.testing.assert_array_equal(stored.rows(np.arange(70)), table)
    vector = rng.normal(size=(1, 9)).astype(np.float32)
    scores = stored.dot(tf.constant(vector), 40)(tf.constant(30))
    np.testing.assert_allclose(scores, vector @ table[30:].T, rtol=1e-5, atol=1e-5)
    assert stored.nbytes == kind.size(coded.extent) + 9 * 4
    assert coded.extent.scale_bytes == 9 * 4
