import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from dsl_tf.evaluation.ties import TieOrder


@given(num_items=st.integers(1, 3000), seed=st.integers(0, 2**32 - 1))
def test_positions_invert_items(num_items, seed):
    order = TieOrder(num_items, seed)
    every = np.arange(num_items)
    items = order.items(every)
    np.testing.assert_array_equal(np.sort(items), every)
    np.testing.assert_array_equal(order.positions(items), every)


def test_it_is_fixed():
    """Changing this changes every ranking with ties, also in exported models."""
    np.testing.assert_array_equal(
        TieOrder(8, 0).items(np.arange(8)), [7, 4, 1, 6, 3, 0, 5, 2]
    )
    assert np.any(
        TieOrder(1000, 3).items(np.arange(9)) != TieOrder(1000, 4).items(np.arange(9))
    )


@pytest.mark.parametrize("num_items", [1, 2**31 - 1])
def test_tensors_of_any_catalogue(num_items):
    order = TieOrder(num_items, 5)
    ids = np.array([0, num_items // 3, num_items - 1])
    items = order.items(tf.constant(ids))
    assert items.dtype == tf.int64
    np.testing.assert_array_equal(items, order.items(ids))
    np.testing.assert_array_equal(order.positions(items), ids)


@pytest.mark.parametrize("seed", range(5))
def test_any_stretch_of_positions_has_items_of_all_ids(seed):
    """So no run of ties favours popular items, where ids go by popularity."""
    items = TieOrder(10_000, seed).items(np.arange(10_000))
    for start in range(0, 10_000, 1000):
        tenths = np.bincount(items[start : start + 1000] // 1000, minlength=10)
        assert tenths.min() > 80
        assert tenths.max() < 120
