import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np

from dsl_tf.export.quantize import half_bits, quantize_rows

tables = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1e6, 1e6, width=32),
)


def test_codes_by_hand():
    table = np.array([[127, -63.6, 0.4], [0, 0, 0], [-0.127, 0.001, 0]], np.float32)
    values, scale = quantize_rows(table)
    np.testing.assert_array_equal(values, [[127, -64, 0], [0, 0, 0], [-127, 1, 0]])
    np.testing.assert_allclose(scale, [1, 0, 0.001], rtol=1e-6)
    assert (values.dtype, scale.dtype) == (np.int8, np.float32)


@hypothesis.given(tables)
def test_error_is_at_most_half_a_scale_and_zero_stays_zero(table):
    values, scale = quantize_rows(table)
    error = np.abs(values * scale[:, None].astype(np.float64) - table)
    assert (error <= scale[:, None] * (0.5 + 1e-4) + 1e-40).all()
    assert (values[table == 0] == 0).all()
    assert values.min() >= -127


@hypothesis.given(tables)
def test_a_positive_factor_of_a_row_changes_only_its_scale(table):
    values, scale = quantize_rows(table)
    doubled, twice = quantize_rows(table * 2)
    hypothesis.assume((scale > 1e-30).all())
    np.testing.assert_array_equal(values, doubled)
    np.testing.assert_allclose(twice, scale * 2)


def test_half_bits_by_hand():
    table = np.array([[1.0, -2.0, 0.0, 1e9, -1e9]], np.float32)
    expected = np.array([[0x3C00, 0xC000, 0, 0x7BFF, 0xFBFF]], np.uint16)
    np.testing.assert_array_equal(half_bits(table).view(np.uint16), expected)
