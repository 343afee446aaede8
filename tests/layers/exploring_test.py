"""What an optimiser keeps of the squares of a grown weight's gradients."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf import storage
from dsl_tf.layers import exploring
from dsl_tf.sparsity import growth, pruning, selection
from dsl_tf.storage import slots
from dsl_tf.storage.recorder import GradientRecorder

#: Rows of 2, 1, 0 and 3 weights. The smallest three leave, where 3 of 6 are asked for.
TABLE = np.array(
    [[0.1, 0, 0.9, 0], [0, 0.8, 0, 0], [0, 0, 0, 0], [0.7, 0.6, 0.5, 0]], np.float32
)
SQUARES = np.array(
    [[1.0, 0, 3.0, 0], [0, 5.0, 0, 0], [0, 0, 0, 0], [6.0, 7.0, 8.0, 0]], np.float32
)
#: The largest three of those without a weight enter.
PULLS = np.array([[0, 9.0, 0, 0.5], [8.0, 0, 0, 0], [0, 0, 0, 7.0], [0, 0, 0, 0.1]])
ACTIVE = TABLE != 0


@pytest.fixture(params=storage.names())
def weight(request):
    made = storage.find(request.param)(
        keras.layers.Layer(),
        "table",
        TABLE.shape,
        lambda shape: [ACTIVE],
        np.count_nonzero(ACTIVE),
        keras.initializers.Constant(TABLE),
    )
    made.recorder = GradientRecorder(*TABLE.shape, capacity=4, recording=True)
    made.watched = True
    return made


@pytest.fixture
def explored(weight):
    """Explores after one recorded step; gives the table and each slot, by its name."""

    def explore(optimizer, second_moment="zero", criterion=pruning.magnitude):
        optimizer.build([weight.values])
        found = slots.find(optimizer, weight.values)
        weight.assign([ACTIVE], [(slot, [SQUARES[ACTIVE]]) for slot in found])
        with tf.GradientTape() as tape:
            rows = weight.lookup(tf.range(4))
            loss = tf.reduce_sum(rows * PULLS.astype(np.float32))
        tape.gradient(loss, weight.values)
        exploring.explore_weight(
            weight,
            [optimizer],
            criterion,
            growth.gradient,
            0.5,
            np.random.default_rng(0),
            exploring.SECOND_MOMENTS[second_moment],
        )
        after = weight.mask()
        tables = []
        for slot in found:
            table = np.zeros(TABLE.shape)
            table[after] = weight.reader(slot.variable)(0, weight.nnz)
            tables.append(table)
        return weight.read().numpy(), tables

    return explore


KEPT = np.where(np.abs(TABLE) > 0.65, SQUARES, 0.0)
#: Row 0 has a mean of 2, row 1 of 5; the empty row gets that of all three weights.
GROWN = np.array([[0, 2.0, 0, 0], [5.0, 0, 0, 0], [0, 0, 0, 3.0], [0, 0, 0, 0]])


@pytest.mark.parametrize(("how", "expected"), [("zero", KEPT), ("row", KEPT + GROWN)])
def test_only_squares_begin_with_those_of_the_row(explored, how, expected):
    table, (momentum, velocity) = explored(keras.optimizers.Adam(), how)
    np.testing.assert_array_equal(table, np.where(np.abs(TABLE) > 0.65, TABLE, 0))
    np.testing.assert_array_equal(momentum, KEPT)
    np.testing.assert_allclose(velocity, expected, rtol=1e-6)


@pytest.mark.parametrize("at_once", [2, 1 << 20])
def test_use_is_that_of_each_weights_row(weight, explored, monkeypatch, at_once):
    """Row 0 is used so often that both its weights stay, however small one is."""
    monkeypatch.setattr(selection, "BLOCK", at_once)
    weight.use = np.array([100, 1, 0, 1])
    sgd = keras.optimizers.SGD()
    table, _ = explored(sgd, criterion=pruning.scaled_magnitude)
    kept = [(0, 0), (0, 2), (1, 1)]
    assert [*zip(*np.nonzero(table), strict=True)] == kept


@pytest.mark.parametrize("at_once", [0, 2, 3, 5])
def test_some_rows_at_a_time(explored, monkeypatch, at_once):
    """Rows far apart were read with all that is between them."""
    monkeypatch.setattr(exploring, "_WEIGHTS_AT_ONCE", at_once)
    _, (_, velocity) = explored(keras.optimizers.Adam(), "row")
    np.testing.assert_allclose(velocity, KEPT + GROWN, rtol=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "squares"),
    [
        (keras.optimizers.Adam, [False, True]),
        (keras.optimizers.Adagrad, [True]),
        (lambda: keras.optimizers.SGD(momentum=0.9), [False]),
        (keras.optimizers.legacy.Adam, [False, True]),
    ],
)
def test_which_slots_are_squares(optimizer, squares):
    variable = tf.Variable([1.0, 2.0])
    made = optimizer()
    slots.create(made, [variable])
    assert [slot.squares for slot in slots.find(made, variable)] == squares
