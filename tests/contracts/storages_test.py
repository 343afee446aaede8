"""What every storage of a sparse weight has to do, whatever its form."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsl_tf import storage
from dsl_tf.storage import slots
from dsl_tf.storage.base import SparseWeight
from dsl_tf.storage.recorder import GradientRecorder
from dsl_tf.types import Exchange

ROWS, WIDTH = 6, 4
#: Row 2 is empty, row 4 is full.
POSITIONS = np.array([0, 3, 5, 12, 14, 16, 17, 18, 19, 23])
MASK = np.isin(np.arange(ROWS * WIDTH), POSITIONS).reshape(ROWS, WIDTH)
TABLE = np.where(MASK, np.arange(1.0, 1 + ROWS * WIDTH).reshape(ROWS, WIDTH), 0.0)
TABLE = TABLE.astype(np.float32)
#: Positions 3 and 17 leave, the second and the seventh active one; 8 and 21 enter.
EXCHANGE = Exchange(
    pruned=np.array([1, 6]), grown=np.array([8, 21]), asked=2, offered=5
)
KEPT = np.array([0, 5, 12, 14, 16, 18, 19, 23])


@pytest.fixture(params=storage.names())
def make(request):
    def make_weight() -> SparseWeight:
        return storage.find(request.param)(
            keras.layers.Layer(),
            "table",
            (ROWS, WIDTH),
            lambda shape: [MASK[:4], MASK[4:]],
            len(POSITIONS),
            keras.initializers.Constant(TABLE + 100.0 * ~MASK),
        )

    return make_weight


@pytest.fixture
def weight(make):
    return make()


def moved(table, fill=0.0):
    after = np.array(table).reshape(-1)
    after[[3, 17, 8, 21]] = fill
    return after.reshape(ROWS, WIDTH)


def test_creation(weight):
    assert (weight.name, weight.shape, weight.nnz) == ("table", (ROWS, WIDTH), 10)
    assert weight.sparsity == 1 - 10 / 24
    assert weight.positions().tolist() == POSITIONS.tolist()
    assert weight.positions().dtype == np.int64
    np.testing.assert_array_equal(weight.mask(), MASK)
    np.testing.assert_array_equal(weight.mask(np.array([4, 2])), MASK[[4, 2]])
    np.testing.assert_array_equal(weight.active_values(), TABLE[MASK])
    np.testing.assert_array_equal(weight.read(), TABLE)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize(
    "rows", [[3, 2, 3, 0, 4, 3], [[5, 1], [1, 5], [2, 2]], [], [[]], 4]
)
def test_lookup(weight, rows, dtype):
    rows = np.array(rows, dtype)
    np.testing.assert_array_equal(weight.lookup(tf.constant(rows)), TABLE[rows])


def test_lookup_keeps_what_is_known_of_the_shape(weight):
    @tf.function(input_signature=[tf.TensorSpec([None, 7], tf.int32)])
    def lookup(rows):
        found = weight.lookup(rows)
        assert found.shape.as_list() == [None, 7, WIDTH]
        return found

    lookup(tf.zeros([2, 7], tf.int32))


def test_a_row_outside_is_refused(weight):
    with pytest.raises(tf.errors.InvalidArgumentError):
        weight.lookup(tf.constant([ROWS]))


def test_matmul(weight, rng):
    inputs = rng.normal(size=(3, ROWS)).astype(np.float32)
    np.testing.assert_allclose(weight.matmul(inputs), inputs @ TABLE, rtol=1e-5)
    inputs = rng.normal(size=(3, WIDTH)).astype(np.float32)
    np.testing.assert_allclose(
        weight.matmul(inputs, transpose=True), inputs @ TABLE.T, rtol=1e-5
    )


def test_square_sum(weight):
    with tf.GradientTape() as tape:
        total = weight.square_sum()
    assert total.numpy() == np.square(TABLE).sum()
    tape.gradient(total, weight.values)  # it has one


def descend(weight, loss):
    """The table after one step of SGD with learning rate 1."""
    with tf.GradientTape() as tape:
        value = loss()
    gradient = tape.gradient(value, weight.values)
    keras.optimizers.SGD(1.0).apply_gradients([(gradient, weight.values)])
    return weight.read().numpy()


def test_a_step_moves_active_values_only(weight):
    rows = tf.constant([4, 3, 4])
    pulls = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    after = descend(weight, lambda: tf.reduce_sum(weight.lookup(rows) * pulls))
    expected = TABLE.copy()
    expected[3] -= pulls[1] * MASK[3]
    expected[4] -= (pulls[0] + pulls[2]) * MASK[4]  # a row twice: the sum
    np.testing.assert_array_equal(after, expected)


def test_clipnorm_measures_active_positions_only(weight):
    """Row 0 has positions 0 and 3 active: their gradient (3, 4) has norm 5."""
    optimizer = keras.optimizers.SGD(1.0, clipnorm=2.5)
    with tf.GradientTape() as tape:
        row = weight.lookup(tf.constant([0]))
        loss = tf.reduce_sum(row * [[3.0, 100.0, 100.0, 4.0]])
    optimizer.apply_gradients([(tape.gradient(loss, weight.values), weight.values)])
    expected = TABLE[0] - [1.5, 0.0, 0.0, 2.0]
    np.testing.assert_allclose(weight.lookup(tf.constant(0)), expected, rtol=1e-6)


def test_a_step_through_read_and_matmul(weight):
    pulls = np.arange(24.0, dtype=np.float32).reshape(ROWS, WIDTH)
    ones = tf.ones([2, ROWS])

    def loss():
        return tf.reduce_sum(weight.read() * pulls) + tf.reduce_sum(weight.matmul(ones))

    np.testing.assert_array_equal(descend(weight, loss), TABLE - (pulls + 2) * MASK)


def two_uses(weight, pulls):
    """A loss that looks row 0 up three times, twice in one call."""

    def loss():
        first = weight.lookup(tf.constant([2, 0]))
        second = weight.lookup(tf.constant([0, 0]))
        return tf.reduce_sum(first * pulls) + 10 * tf.reduce_sum(second)

    return loss


def test_the_recorder_sees_what_the_mask_hides(make):
    pulls = np.arange(1.0, 9.0, dtype=np.float32).reshape(2, WIDTH)
    plain, weight = make(), make()
    weight.recorder = GradientRecorder(ROWS, WIDTH, capacity=ROWS, recording=True)
    expected = descend(plain, two_uses(plain, pulls))
    np.testing.assert_array_equal(descend(weight, two_uses(weight, pulls)), expected)
    assert weight.recorder.recorded()[0].numpy().tolist() == []  # not watched

    weight.watched = True
    expected = descend(plain, two_uses(plain, pulls))
    # Watching changes no bit of a step.
    np.testing.assert_array_equal(descend(weight, two_uses(weight, pulls)), expected)
    rows, sums = weight.recorder.recorded()
    assert rows.numpy().tolist() == [0, 2]
    np.testing.assert_array_equal(sums, [pulls[1] + 20, pulls[0]])


def test_adopt(weight):
    optimizer = keras.optimizers.Adagrad(initial_accumulator_value=0.25)
    optimizer.build([weight.values])
    weight.adopt(EXCHANGE, slots.find(optimizer, weight.values))
    np.testing.assert_array_equal(weight.read(), moved(TABLE))
    np.testing.assert_array_equal(
        weight.mask().reshape(-1)[[3, 17, 8, 21]], [0, 0, 1, 1]
    )
    assert weight.positions().tolist() == sorted([*KEPT, *EXCHANGE.grown])
    assert len(weight.active_values()) == weight.nnz


def train(weight, optimizer, steps, rows=tuple(range(ROWS)), start=0):
    """Plain steps whose gradient differs from position to position."""
    pulls = np.arange(1.0, 1 + 24.0, dtype=np.float32).reshape(ROWS, WIDTH) / 24
    for step in range(start, start + steps):
        index = tf.constant([*rows, rows[step % len(rows)]])
        with tf.GradientTape() as tape:
            found = weight.lookup(index)
            loss = tf.reduce_sum(found * tf.gather(pulls, index) + 0.1 * found**2)
        gradient = tape.gradient(loss, weight.values)
        optimizer.apply_gradients([(gradient, weight.values)])


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_kept_weights_keep_their_moments_and_grown_ones_start_anew(make, steps):
    """Against two weights: one never exchanged, one new at the exchange.

    With Adagrad a step depends on the slot at the very position alone, so what
    comes after tells what the slots were.
    """
    old, new = make(), make()
    optimizers = [keras.optimizers.Adagrad(0.5) for _ in "ab"]
    for weight, optimizer in zip((old, new), optimizers, strict=True):
        train(weight, optimizer, steps)
    new.adopt(EXCHANGE, slots.find(optimizers[1], new.values))
    train(old, optimizers[0], 1, start=steps)
    train(new, optimizers[1], 1, start=steps)

    fresh = make()
    fresh.adopt(EXCHANGE, [])
    optimizer = keras.optimizers.Adagrad(0.5)
    train(fresh, optimizer, 1, start=steps)
    after, reference, grown = (w.read().numpy().reshape(-1) for w in (new, old, fresh))
    np.testing.assert_array_equal(after[KEPT], reference[KEPT])
    np.testing.assert_array_equal(after[POSITIONS[EXCHANGE.pruned]], 0)
    np.testing.assert_array_equal(after[EXCHANGE.grown], grown[EXCHANGE.grown])
    assert np.all(grown[EXCHANGE.grown] != 0)


def test_an_empty_exchange_changes_nothing(weight):
    nothing = np.zeros(0, np.int64)
    weight.adopt(Exchange(nothing, nothing, 0, 0), [])
    np.testing.assert_array_equal(weight.read(), TABLE)
    assert weight.positions().tolist() == POSITIONS.tolist()


@given(st.data())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=20,
    deadline=None,
)
def test_any_exchanges(make, data):
    """Mask and values follow, exchange after exchange, and the budget holds."""
    weight = make()
    table = TABLE.reshape(-1).copy()
    for _ in range(3):
        active = weight.positions()
        inactive = np.setdiff1d(np.arange(ROWS * WIDTH), active)
        count = data.draw(st.integers(0, len(active)))
        pruned = data.draw(st.permutations(range(len(active))))[:count]
        grown = data.draw(st.permutations(inactive.tolist()))[:count]
        pruned, grown = (np.array(sorted(x), np.int64) for x in (pruned, grown))
        weight.adopt(Exchange(pruned, grown, count, count), [])
        table[active[pruned]] = 0
        expected = np.sort(np.concatenate([np.delete(active, pruned), grown]))
        assert weight.positions().tolist() == expected.tolist()
        np.testing.assert_array_equal(weight.read().numpy().reshape(-1), table)
        # Something to tell the grown ones by.
        weight.values.assign_add(tf.cast(weight.values == 0, tf.float32))
        table[grown] = 1
        table[(table == 0) & np.isin(np.arange(24), expected)] = 1


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.1),
    "amsgrad": lambda: keras.optimizers.Adam(0.1, amsgrad=True, clipnorm=0.5),
    "adamw": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1),
    "adam_ema": lambda: keras.optimizers.Adam(
        0.1, use_ema=True, ema_overwrite_frequency=3
    ),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "sgd": lambda: keras.optimizers.SGD(0.1, weight_decay=0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.1, centered=True, momentum=0.9),
    "ftrl": lambda: keras.optimizers.Ftrl(0.1, l2_regularization_strength=0.1),
    "lion": lambda: keras.optimizers.Lion(0.1),
    "nadam": lambda: keras.optimizers.Nadam(0.1),
    "adamax": lambda: keras.optimizers.Adamax(0.1),
    "adadelta": lambda: keras.optimizers.Adadelta(0.1),
    "legacy_adam": lambda: keras.optimizers.legacy.Adam(0.1),
    "legacy_momentum": lambda: keras.optimizers.legacy.SGD(0.1, momentum=0.9),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_exactly_zero_off_the_mask_whatever_the_optimizer(weight, name):
    optimizer = OPTIMIZERS[name]()
    train(weight, optimizer, 4)
    weight.adopt(EXCHANGE, slots.find(optimizer, weight.values))
    train(weight, optimizer, 4, rows=(0, 2, 4, 5))
    if hasattr(optimizer, "finalize_variable_values"):
        optimizer.finalize_variable_values([weight.values])
    effective = weight.read().numpy()
    off = ~weight.mask()
    assert np.all(effective[off] == 0)
    assert np.all(effective[~off] != 0)
    if weight.values.shape == off.shape:
        assert np.all(weight.values.numpy()[off] == 0)
        for slot in slots.find(optimizer, weight.values):
            np.testing.assert_array_equal(
                slot.variable.numpy()[off], np.float32(slot.initial)
            )
