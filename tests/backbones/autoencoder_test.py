import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf import config_files
from dsl_tf.backbones import _autoencoder
from dsl_tf.data.pipelines import Users
from dsl_tf.storage import base as storage
from dsl_tf.types import LayerMacs

USERS, ITEMS = 5, 7
#: User 3 has no item, item 6 no user.
HISTORIES = [[0, 2, 3], [1], [0, 1, 4, 5], [], [2, 5]]


class Plain(_autoencoder.Autoencoder):
    """The smallest there is: the mean of the encoder's rows."""

    def __init__(self, split, tables, own_rows=False):
        def initial(_):
            return keras.initializers.RandomNormal(seed=1)

        super().__init__(split, tables, "plain", 3, initial, initial, 0.5, seed=0)
        self._own_rows = own_rows

    def compute_loss(self, inputs, training=False):
        history = self.histories(inputs["user"])
        hidden = self._sums(history, training) + self.encoder_bias
        return tf.reduce_sum(self._scores(hidden) ** 2)

    def user_rows(self, users):
        if not self._own_rows:
            return None
        return tf.cast(users, tf.float32)[:, None] * tf.ones([1, 3])

    def encode(self, sums, counts, user_rows):
        vectors = sums / tf.maximum(counts, 1.0)[:, None] + self.encoder_bias
        if user_rows is not None:
            vectors += user_rows
        return _autoencoder.unless_empty(vectors, counts)

    def query_vectors(self, users):
        return _autoencoder.with_one(users)

    def macs(self, users, items):
        return {"encoder": LayerMacs(per_user=self.history_macs())}


@pytest.fixture
def model(split, make_tables):
    return Plain(split, make_tables())


def _encoder(model):
    return model.encoder_rows(tf.range(ITEMS)).numpy()


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_histories_are_the_training_items(model, dtype):
    found = model.histories(tf.constant([4, 3, 0, 4], dtype))
    assert found.dtype == tf.int32
    assert found.to_list() == [[2, 5], [], [0, 2, 3], [2, 5]]


def test_user_vectors_of_training_items(model):
    vectors = model.user_vectors({"user_id": tf.constant([4, 3, 0])}).numpy()
    rows, bias = _encoder(model), model.encoder_bias.numpy()
    assert np.abs(rows).min() > 1e-4
    expected = [
        rows[[2, 5]].mean(0) + bias,
        np.zeros(3),
        rows[[0, 2, 3]].mean(0) + bias,
    ]
    np.testing.assert_allclose(vectors, expected, rtol=1e-5)


def test_an_unseen_user_has_a_history_and_no_own_row(split, make_tables):
    model = Plain(split, make_tables(), own_rows=True)
    history = tf.ragged.constant([[3, 0, 2], [], [6]], tf.int64)
    unseen = model.user_vectors({"history": history}).numpy()
    without = Plain(split, make_tables())
    np.testing.assert_array_equal(unseen, without.user_vectors({"history": history}))
    rows, bias = _encoder(model), model.encoder_bias.numpy()
    np.testing.assert_allclose(
        unseen, [rows[[0, 2, 3]].mean(0) + bias, np.zeros(3), rows[6] + bias], rtol=1e-5
    )
    # A known user: of other items too, but with the own row.
    users = tf.constant([1, 2, 4])
    known = model.user_vectors({"user_id": users, "history": history}).numpy()
    own = np.array([1, 0, 4])[:, None]  # none for the empty history
    np.testing.assert_allclose(known, unseen + own, rtol=1e-5)


def test_scores_are_products_with_the_bias(model):
    items = model.item_vectors()
    assert items.shape == (ITEMS, 4)
    np.testing.assert_array_equal(items[:, 3], model.decoder_bias)
    scores = model({"user": tf.constant([0, 3])})
    vectors = model.user_vectors({"user_id": tf.constant([0, 3])}).numpy()
    decoder = model.decoder(tf.range(ITEMS)).numpy()
    expected = vectors @ decoder.T + model.decoder_bias.numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    np.testing.assert_allclose(model._scores(vectors), expected, rtol=1e-5)


def test_the_two_tables_are_of_items(split, make_tables):
    model = Plain(split, make_tables(sparsity=0.5))
    assert len(model.look_ups("items")) == 2
    assert not model.look_ups("users")
    assert [weight.shape for weight in model.sparse_weights()] == [(ITEMS, 3)] * 2


def test_sums_in_training_are_the_full_ones_in_expectation(model):
    model.compile(keras.optimizers.SGD())
    history = model.histories(tf.range(USERS))
    full = model._sums(history, training=False)
    in_training = tf.function(lambda: model._sums(history, training=True))
    drawn = []
    for step in range(1000):
        model.optimizer.iterations.assign(step)
        drawn.append(in_training().numpy())
    # A sum of n rows of size .05, each in it or not: deviation about .05 sqrt(n).
    np.testing.assert_allclose(np.mean(drawn, axis=0), full, atol=0.01)
    doubled = 2 * model.encoder_rows(tf.constant([1])).numpy()
    for sums in drawn[:20]:  # user 1 has item 1 alone
        assert np.allclose(sums[1], 0) or np.allclose(sums[1:2], doubled)


def test_training_by_blocks_of_the_decoder(split, make_tables, monkeypatch):
    """A product by blocks has lost the number of items."""
    whole = Plain(split, make_tables(sparsity=0.5))
    losses = []
    for elements in (storage.BLOCK_ELEMENTS, 6):
        monkeypatch.setattr(storage, "BLOCK_ELEMENTS", elements)

        @tf.function
        def loss():
            return whole.compute_loss({"user": tf.range(USERS)})

        losses.append(float(loss()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_batches_are_of_users(model, split):
    config = config_files.load(config_files.find("base.py")).train
    config.batch_size = 2
    batches = model.batches(split, config, seed=0)
    assert isinstance(batches, Users)
    assert (batches.size.users, batches.size.pairs) == (2, 2 * ITEMS)


def test_picked():
    scores = tf.constant([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    found = _autoencoder.picked(scores, tf.constant([1, 0, 1]), tf.constant([0, 2, 2]))
    np.testing.assert_array_equal(found, [3, 2, 5])
    users, items = tf.constant([[1], [0]]), tf.constant([[0, 2], [1, 1]])
    found = _autoencoder.picked(scores, users, items)
    np.testing.assert_array_equal(found, [[3, 5], [1, 1]])


def test_row_nonzeros(monkeypatch):
    monkeypatch.setattr(_autoencoder, "ROWS_AT_ONCE", 2)
    table = tf.constant([[0.0, 1.0], [0.0, 0.0], [2.0, 1.0], [0.0, 0.0], [3.0, 0.0]])
    found = _autoencoder.row_nonzeros(lambda rows: tf.gather(table, rows), 5)
    assert found.tolist() == [1, 0, 2, 0, 1]


def test_macs_of_a_history_by_hand(split, model, make_tables):
    # Ten items of four users, three columns each.
    assert model.history_macs() == 10 * 3 / 4
    sparse = Plain(split, make_tables(sparsity=0.5))
    nonzeros = np.count_nonzero(_encoder(sparse), axis=1)
    expected = sum(nonzeros[item] for items in HISTORIES for item in items) / 4
    assert sparse.history_macs() == expected < 5
