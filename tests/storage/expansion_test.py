import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf import storage
from dsl_tf.storage import expansion
from dsl_tf.storage.recorder import GradientRecorder

ROWS, WIDTH = 7, 3
MASK = np.random.default_rng(1).random((ROWS, WIDTH)) < 0.5
UP = np.arange(1.0, 1 + ROWS * WIDTH, dtype=np.float32).reshape(ROWS, WIDTH)


@pytest.fixture(params=storage.names())
def make(request):
    def make_weight(mask=MASK):
        return storage.find(request.param)(
            keras.layers.Layer(),
            "table",
            mask.shape,
            lambda shape: [mask],
            int(mask.sum()),
            keras.initializers.RandomNormal(seed=0),
        )

    return make_weight


def scaled(block):
    """3 x, whose gradient comes `block` rows at a time."""

    def function(table):
        def backward(upstream):
            for start in range(0, table.shape[0], block):
                yield 3 * upstream[start : start + block]

        return (3 * table,), backward

    return function


def stepper(expansions, variables, block):
    """Maps a pull to outputs and gradients by `through`, in a graph."""

    @tf.function
    def step(up):
        with tf.GradientTape() as tape:
            made = [each() for each in expansions]
            (outputs,) = expansion.through(made, scaled(block))
            loss = tf.reduce_sum(outputs * up)
        found = tape.gradient(loss, variables)
        return outputs, [tf.convert_to_tensor(each) for each in found]

    return step


def gradients(expansions, variables, block, up):
    return stepper(expansions, variables, block)(tf.constant(up))


@pytest.mark.parametrize("block", [1, 3, 7])
def test_the_gradient_is_that_of_the_dense_form(make, block):
    weight = make()
    outputs, (found,) = gradients([weight.expansion], [weight.values], block, UP)
    np.testing.assert_array_equal(outputs, 3 * weight.read().numpy())
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(3 * weight.read() * UP)
    np.testing.assert_array_equal(found, tape.gradient(loss, weight.values))


@pytest.mark.parametrize("block", [2, 5])
def test_matrices_below_each_other_share_a_block(make, block):
    upper, lower = make(), make(MASK[:4])
    table = tf.Variable(tf.ones([2, WIDTH]))
    up = np.concatenate([UP, 10 * UP[:4], 100 * UP[:2]])
    expansions = [
        upper.expansion,
        lower.expansion,
        lambda: expansion.of_tensor(tf.convert_to_tensor(table)),
    ]
    variables = [upper.values, lower.values, table]
    _, found = gradients(expansions, variables, block, up)
    for weight, ours, theirs in (
        (upper, found[0], 3 * UP),
        (lower, found[1], 30 * UP[:4]),
    ):
        expected = weight._active_part(tf.range(weight.shape[0]), tf.constant(theirs))
        np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(found[2], 300 * UP[:2])


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("capacity", [ROWS, 2])
def test_the_recorder_sees_what_it_sees_of_the_dense_gradient(make, share, capacity):
    """Over steps in which rows leave it, and with rows that are not sampled."""
    recorders = []
    for block in (ROWS, 2):
        weight = make()
        weight.watched = True
        weight.recorder = GradientRecorder(
            ROWS, WIDTH, capacity, recording=True, share=share
        )
        weight.recorder.resample(None, np.random.default_rng(3))
        step = stepper([weight.expansion], [weight.values], block)
        for number in range(3):
            step(tf.constant(np.roll(UP, 2 * number, axis=0)))
        recorders.append(weight.recorder)
    by_all, by_blocks = ([x.numpy() for x in r.recorded()] for r in recorders)
    assert len(by_all[0]) == min(capacity, ROWS if share == 1 else round(ROWS * share))
    np.testing.assert_array_equal(by_blocks[0], by_all[0])
    np.testing.assert_array_equal(by_blocks[1], by_all[1])


def test_nothing_is_recorded_while_the_switch_is_off(make):
    weight = make()
    weight.watched = True
    weight.recorder = GradientRecorder(ROWS, WIDTH, ROWS)
    gradients([weight.expansion], [weight.values], 2, UP)
    assert len(weight.recorder.recorded()[0]) == 0
