import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.layers import sized


@pytest.mark.parametrize(
    ("width", "fractions", "sizes"),
    [
        (64, (0.03125, 0.25, 1.0), (2, 16, 64)),
        (10, (0.7, 0.05, 0.1), (1, 7)),  # 10 * .7 is a little less than 7
        (1, (0.5, 1.0), (1,)),
    ],
)
def test_sizes_are_fractions_of_any_width(width, fractions, sizes):
    assert sized.candidate_sizes(width, fractions) == sizes


@pytest.mark.parametrize("fractions", [(), (0.0, 1.0), (0.5, 1.5)])
def test_fractions_out_of_range(fractions):
    with pytest.raises(UserError, match=r"in \(0, 1\]\. Received: \("):
        sized.candidate_sizes(8, fractions)


def test_buckets_are_half_octaves_and_kinds_share_none():
    """log2(1 + n) is 0, 1, 1.58, 2 and 10.0014; twice that, rounded down."""
    users = np.array([0, 1, 2, 3, 3, 1024])
    np.testing.assert_array_equal(sized.popularity_buckets(users), [0, 1, 2, 3, 3, 4])
    both = sized.popularity_buckets(users, np.array([3, 0, 1]))
    np.testing.assert_array_equal(both, [0, 1, 2, 3, 3, 4, 7, 5, 6])


def test_a_category_network_by_hand(rng):
    network = sized.CategoryNetwork([3, 2], 4, [0.5, -0.5], seed=0)
    first, second, kernel, bias = network.variables
    begins = network([np.array([2, 0]), np.array([1, 1])])
    np.testing.assert_allclose(begins, [[0.5, -0.5]] * 2)
    assert len(np.unique(first)) == 12
    kernel.assign(rng.normal(size=(4, 2)))
    hidden = np.tanh(first.numpy()[[2, 0]] + second.numpy()[[1, 1]])
    expected = hidden @ kernel.numpy() + bias.numpy()
    found = network([np.array([2, 0]), np.array([1, 1])])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert network.macs() == 8
    other = sized.CategoryNetwork([3, 2], 4, [0.0, 0.0], seed=1)
    assert not np.allclose(other.variables[0], tf.convert_to_tensor(first))
