import numpy as np
import pytest

from dsl_tf.export.tables import narrow


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
