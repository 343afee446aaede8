import numpy as np
import pytest

from dsl_tf.export.quantize import quantize_rows
from dsl_tf.export.tables import Float16Table, Float32Table, Int8Table, narrow

WEIGHTS = np.array([[0.1, -3.0], [0, 0], [1e-3, 2e-3]], np.float32)


def int8(table):
    values, scale = quantize_rows(table)
    return values * scale[:, None]


@pytest.mark.parametrize(
    ("kind", "decoded", "nbytes"),
    [
        (Float32Table, WEIGHTS, 3 * 2 * 4),
        (Float16Table, WEIGHTS.astype(np.float16).astype(np.float32), 3 * 2 * 2),
        (Int8Table, int8(WEIGHTS), 3 * 2 + 3 * 4),
    ],
)
def test_rows_are_decoded_and_bytes_counted(kind, decoded, nbytes):
    table = kind(WEIGHTS)
    np.testing.assert_array_equal(table.rows([2, 0, 2]), decoded[[2, 0, 2]])
    assert table.nbytes == nbytes
    assert not table.trainable_variables


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([], np.int16),
        ([0, 32767], np.int16),
        ([0, 32768], np.int32),
        ([-32769], np.int32),
    ],
)
def test_narrow_keeps_the_values(values, dtype):
    result = narrow(np.array(values, np.int64))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, values)
