import math

import pytest

from dsl_tf.sparsity.horizon import batches_wanted, rows_wanted


def test_rows_wanted_offer_twice_what_is_asked():
    # 8 inactive positions a row: 12 rows offer 96 = 2 · 48.
    assert rows_wanted(48, 8) == 12


def test_a_dense_weight_has_nothing_to_offer():
    assert rows_wanted(48, 0) > 1e9


@pytest.mark.parametrize(
    ("rows", "touched", "wanted", "batches"),
    [
        (100, 20, 15, 1),
        (100, 20, 20, 1),
        # 2 batches touch 100 (1 - .8²) = 36 rows, 3 touch 48.8.
        (100, 20, 36, 2),
        (100, 20, 36.1, 3),
        (100, 20, 100, math.inf),
        # All rows are touched: further batches bring no further rows.
        (100, 100, 500, 1),
    ],
)
def test_batches_wanted(rows, touched, wanted, batches):
    assert batches_wanted(rows, touched, wanted) == batches
