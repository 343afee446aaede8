import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl_tf.export import codings
from dsl_tf.export.codings import CODINGS, Vector, encode, nbytes
from dsl_tf.layers.rounding import Rounding

#: Packing to numbers that it keeps exactly.
EXACT = {
    "FLOAT32": np.array([0.1, -3e9, 0, 1e-30, 7], np.float32),
    "FLOAT16": np.array([0x3C00, 0xC000, 0, 0x7BFF, 1], np.uint16).view(np.int16),
    "BFLOAT16": np.array([0x3F80, 0, 0x7F00, 1, 0x4000], np.int16),
    "INT16": np.array([0, 32767, -32768, -1, 5], np.int16),
    "INT8": np.array([0, 127, -127, -1, 5], np.int8),
    "INT4": np.array([0, 7, -7, -1, 5], np.int8),
    "UINT8": np.array([0, 255, 128, 1, 5], np.uint8),
}


def meant(name, values):
    """The numbers that packed values stand for."""
    if name == "FLOAT16":
        return values.view(np.float16).astype(np.float32)
    if name == "BFLOAT16":
        return (values.astype(np.int32) * 65536).view(np.float32)
    return values


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("length", [0, 1, 4, 5])
def test_every_number_is_read_as_it_was(name, length):
    packing, values = getattr(codings, name), EXACT[name][:length]
    vector = Vector(packing, values)
    expected = meant(name, values)
    every = np.arange(length, dtype=np.int32)[::-1].copy()
    np.testing.assert_array_equal(vector.at(every), expected[::-1])
    for begin in range(length):
        for count in range(length - begin + 1):
            span = vector.span(tf.constant(begin), count)
            np.testing.assert_array_equal(span, expected[begin : begin + count])
    assert nbytes(vector.units) == packing.nbytes(max(length, 1))
    assert not vector.trainable_variables


@pytest.mark.parametrize(
    ("coding", "nbytes"), [("float32", 16), ("float16", 8), ("int8", 4), ("int4", 2)]
)
def test_bytes_of_a_coding(coding, nbytes):
    assert CODINGS[coding][0].nbytes(4) == nbytes


@settings(max_examples=30)
@given(seed=st.integers(0, 99), coding=st.sampled_from(sorted(CODINGS)))
def test_weights_that_become_zero_take_no_place(seed, coding):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(6, 5)).astype(np.float32) ** 9
    table[rng.random(table.shape) < 0.4] = 0
    matrix = scipy.sparse.csr_matrix(table)
    coded = encode(matrix, coding)
    assert coded.codes.data.all()
    assert coded.codes.has_sorted_indices
    if coding in ("float32", "float16"):
        assert coded.scale is None
    np.testing.assert_array_equal(matrix.toarray(), table)  # is left alone


#: Of the first two columns of a table, and of the third.
STEPS = np.array([0.3, 0.3, 0.07], np.float32)
ROUNDINGS = (Rounding(0.0, 7), Rounding(0.07, 7), Rounding(0.3, 7))


def _in_steps(codes):
    return scipy.sparse.csr_matrix(np.array(codes, np.float32) * STEPS)


def test_columns_of_whole_multiples_of_a_step_lose_nothing():
    codes = [[7, 0, -2], [-1, 3, 0], [0, 0, 0], [0, 0, 7]]
    coded = encode(_in_steps(codes), "int4", ROUNDINGS)
    np.testing.assert_array_equal(coded.codes.toarray(), codes)
    np.testing.assert_array_equal(coded.steps, STEPS)
    assert coded.scale is None
    assert coded.extent.scale_bytes == 3 * 4


@pytest.mark.parametrize(
    ("codes", "coding", "roundings"),
    [
        ([[8, 0, -2], [-1, 3, 0]], "int4", ROUNDINGS),
        ([[1.5, 0, -2], [-1, 3, 0]], "int4", ROUNDINGS),
        ([[7, 0, -2], [-1, 3, 0]], "int4", ROUNDINGS[:2]),
        ([[7, 0, -2], [-1, 3, 0]], "int4", ()),
        ([[7, 0, -2], [-1, 3, 0]], "int8", ROUNDINGS),  # they are of int4
    ],
)
def test_other_columns_have_a_scale_a_row(codes, coding, roundings):
    table = _in_steps(codes)
    coded, expected = encode(table, coding, roundings), encode(table, coding)
    assert coded.steps is None
    np.testing.assert_array_equal(coded.scale, expected.scale)
    np.testing.assert_array_equal(coded.codes.toarray(), expected.codes.toarray())
    assert coded.extent.scale_bytes == 2 * 2


def test_what_has_no_codes_has_no_steps():
    coded = encode(_in_steps([[7, 0, -2]]), "float32", ROUNDINGS)
    assert coded.steps is None
    assert coded.extent.scale_bytes == 0
