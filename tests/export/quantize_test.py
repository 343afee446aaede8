import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse

from dsl_tf.export.quantize import (
    INT4_LIMIT,
    INT8_LIMIT,
    bfloat16_above,
    bfloat16_bits,
    half_bits,
    quantize_rows,
)

tables = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1e6, 1e6, width=32),
)
limits = st.sampled_from([INT8_LIMIT, INT4_LIMIT])


def dense(table, limit):
    """The codes of all positions, and the scales."""
    matrix = scipy.sparse.csr_matrix(table)
    codes, scale = quantize_rows(matrix, limit)
    parts = (codes, matrix.indices, matrix.indptr)
    return scipy.sparse.csr_matrix(parts, matrix.shape).toarray(), scale


def test_codes_by_hand():
    table = np.array([[127, -63.6, 0.4], [0, 0, 0], [-254, 2, 0]], np.float32)
    codes, scale = dense(table, INT8_LIMIT)
    np.testing.assert_array_equal(codes, [[127, -64, 0], [0, 0, 0], [-127, 1, 0]])
    np.testing.assert_array_equal(scale, [1, 0, 2])
    assert (codes.dtype, scale.dtype) == (np.int8, np.float32)
    codes, scale = dense(np.array([[7, -3.4, 0.6]], np.float32), INT4_LIMIT)
    np.testing.assert_array_equal(codes, [[7, -3, 1]])
    np.testing.assert_array_equal(scale, [1])


@hypothesis.given(tables, limits)
def test_error_is_at_most_half_a_scale_and_zero_stays_zero(table, limit):
    codes, scale = dense(table, limit)
    error = np.abs(codes * scale[:, None].astype(np.float64) - table)
    assert (error <= scale[:, None] * (0.5 + 1e-4) + 1e-37).all()
    assert (codes[table == 0] == 0).all()
    assert np.abs(codes.astype(int)).max() <= limit


@hypothesis.given(tables, limits)
def test_a_positive_factor_of_a_row_changes_only_its_scale(table, limit):
    codes, scale = dense(table, limit)
    doubled, twice = dense(table * 2, limit)
    hypothesis.assume((scale > 1e-30).all())
    np.testing.assert_array_equal(codes, doubled)
    np.testing.assert_allclose(twice, scale * 2)


@hypothesis.given(
    arrays.arrays(np.float32, 5, elements=st.floats(0, 2.0**99, width=32))
)
def test_bfloat16_above(values):
    above = bfloat16_above(values)
    assert (above >= values).all()
    assert (above <= values * np.float32(1 + 2**-7) + 1e-38).all()
    back = bfloat16_bits(above).astype(np.int32) * 65536
    np.testing.assert_array_equal(back.view(np.float32), above)


@pytest.mark.parametrize(("value", "above"), [(1.0, 1.0), (1.001, 1 + 2**-7), (0, 0)])
def test_bfloat16_above_by_hand(value, above):
    assert bfloat16_above(np.array([value], np.float32)) == [above]


def test_half_bits_by_hand():
    weights = np.array([1.0, -2.0, 0.0, 1e9, -1e9], np.float32)
    expected = np.array([0x3C00, 0xC000, 0, 0x7BFF, 0xFBFF], np.uint16)
    np.testing.assert_array_equal(half_bits(weights).view(np.uint16), expected)
