import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from dsl_tf.export.encoder import EncodedUsers, Encoder, HistoryEncoder

ITEMS = np.array([[1, 0], [0, 2], [4, 0], [0, 0]], np.float32)
USERS = np.array([[0, 0], [100, 200], [0, 0]], np.float32)


def encode(sums, counts, user_rows):
    """The sums, the users' rows, and the count in a third column."""
    rows = sums if user_rows is None else sums + user_rows
    return tf.concat([rows, counts[:, None]], axis=1)


@pytest.fixture(params=[None, USERS], ids=["items", "items and users"])
def encoder(request):
    users = request.param
    return Encoder(
        scipy.sparse.csr_matrix(ITEMS),
        None if users is None else scipy.sparse.csr_matrix(users),
        np.array([2, 1, 0], np.int32),
        encode,
    )


def test_vectors_by_hand(encoder):
    owners = tf.constant([0, 0, 2, 2, 2])
    items = tf.constant([2, 0, 0, 1, 3])
    found = HistoryEncoder(encoder, "float32").vectors(items, owners, tf.constant(4))
    expected = [[5, 0, 2], [0, 0, 0], [1, 2, 3], [0, 0, 0]]
    np.testing.assert_array_equal(found, expected)


def test_nobody_has_no_vector(encoder):
    none = tf.zeros([0], tf.int32)
    history_encoder = HistoryEncoder(encoder, "float32")
    assert history_encoder.vectors(none, none, tf.constant(0)).shape == (0, 3)
    assert not history_encoder.vectors(none, none, tf.constant(2)).numpy().any()


@pytest.mark.parametrize("items", [[], [2], [0, 1, 2, 3]])
def test_the_vector_of_one_is_that_of_several(encoder, items):
    history_encoder = HistoryEncoder(encoder, "float32")
    items = tf.constant(items, tf.int32)
    of_several = history_encoder.vectors(items, tf.zeros_like(items), tf.constant(1))
    np.testing.assert_array_equal(history_encoder.vector(items), of_several)


def test_only_the_first_items_of_a_history_are_encoded(encoder):
    offsets, history = tf.constant([0, 3, 5, 6]), tf.constant([0, 1, 2, 2, 3, 0])
    encoded = EncodedUsers(encoder, offsets, history)
    expected = np.array([[1, 2, 2], [4, 0, 1], [0, 0, 0], [4, 0, 1]], np.float32)
    if encoder.users is not None:
        expected[[1, 3], :2] += USERS[1]
    np.testing.assert_array_equal(encoded.rows(tf.constant([0, 1, 2, 1])), expected)


def test_bytes_are_those_of_the_tables(encoder):
    encoded = EncodedUsers(encoder, tf.zeros([4], tf.int32), tf.zeros([0], tf.int32))
    assert encoded.nbytes == 4 * (ITEMS.size + (encoder.users is not None) * USERS.size)
    assert encoded.history_bytes == 4 * len(USERS)


def test_rows_may_be_narrow(rounded):
    rng = np.random.default_rng(0)
    items = rng.normal(size=(50, 8)).astype(np.float32)
    encoder = Encoder(scipy.sparse.csr_matrix(items), None, np.zeros(1), encode)
    vector = HistoryEncoder(encoder, "int8").vector(tf.constant([3, 40]))
    stored = rounded(items, "int8")
    np.testing.assert_allclose(vector[0, :8], stored[3] + stored[40], rtol=1e-6)
