import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.export.offsets import Offsets


def test_offsets_beyond_16_bits():
    indptr = np.arange(2001) * 300
    offsets = Offsets(indptr, 300)
    np.testing.assert_array_equal(offsets.at(tf.range(2001)), indptr)
    for begin, count in ((0, 2001), (108, 7), (109, 1), (1500, 501), (2000, 1)):
        span = offsets.span(tf.constant(begin), count)
        np.testing.assert_array_equal(span, indptr[begin : begin + count])


def test_more_non_zeros_than_an_int32_counts():
    with pytest.raises(UserError, match=r"less than 2\*\*31 non-zeros"):
        Offsets(np.array([0, 2**31]), 2)
