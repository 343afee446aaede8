import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from dsl_tf.storage import slots

optimizers = keras.optimizers
legacy = keras.optimizers.legacy

# The optimiser, and the initial values of the slots of one weight.
OPTIMIZERS = [
    (lambda: optimizers.SGD(momentum=0.9), [0.0]),
    (lambda: optimizers.Adam(), [0.0, 0.0]),
    (lambda: optimizers.Adam(amsgrad=True), [0.0, 0.0, 0.0]),
    (lambda: optimizers.Adam(use_ema=True), [0.0, 0.0, 0.0]),
    (lambda: optimizers.AdamW(), [0.0, 0.0]),
    (lambda: optimizers.Adagrad(initial_accumulator_value=0.3), [0.3]),
    (lambda: optimizers.Ftrl(initial_accumulator_value=0.2), [0.0, 0.2]),
    (lambda: optimizers.RMSprop(momentum=0.9, centered=True), [0.0, 0.0, 0.0]),
    (lambda: optimizers.Adadelta(), [0.0, 0.0]),
    (lambda: optimizers.Adamax(), [0.0, 0.0]),
    (lambda: optimizers.Nadam(), [0.0, 0.0]),
    (lambda: optimizers.Lion(), [0.0]),
    (lambda: keras.mixed_precision.LossScaleOptimizer(optimizers.Adam()), [0.0, 0.0]),
    (lambda: legacy.SGD(), []),
    (lambda: legacy.Adam(), [0.0, 0.0]),
    (lambda: legacy.Adagrad(initial_accumulator_value=0.3), [0.3]),
    (lambda: legacy.Ftrl(initial_accumulator_value=0.2), [0.0, 0.2]),
    (
        lambda: keras.mixed_precision.LossScaleOptimizer(legacy.Adam()),
        [0.0, 0.0],
    ),
]


@pytest.fixture
def weights():
    return [tf.Variable(tf.ones([2])), tf.Variable(tf.ones([3, 2]))]


@pytest.mark.parametrize(("make", "initial"), OPTIMIZERS)
def test_all_slots_with_their_initial_values(make, initial, weights):
    optimizer = make()
    assert slots.find(optimizer, weights[1]) == []  # no step was taken
    slots.create(optimizer, weights)
    found = slots.find(optimizer, weights[1])
    assert sorted(slot.initial for slot in found) == pytest.approx(initial)
    for slot in found:
        # The average of the weight begins at the weight, which is one.
        average = slot.variable.name.startswith("average/")
        value = 1.0 if average else slot.initial
        tf.debugging.assert_near(slot.variable, tf.fill([3, 2], value))


@pytest.mark.parametrize(("make", "initial"), OPTIMIZERS)
def test_they_are_the_ones_that_a_step_moves(make, initial, weights):
    optimizer = make()
    slots.create(optimizer, weights)
    found = slots.find(optimizer, weights[1])
    before = [tf.identity(slot.variable) for slot in found]
    # Only the second weight gets a gradient.
    gradients = [tf.zeros([2]), tf.ones([3, 2])]
    for _ in range(2):  # Adadelta's second slot needs an update to average
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
    for slot, old in zip(found, before, strict=True):
        assert not tf.reduce_any(tf.equal(slot.variable, old)), slot.variable.name


def test_another_weight_has_none(weights):
    optimizer = optimizers.Adam()
    slots.create(optimizer, weights)
    assert slots.find(optimizer, tf.Variable(tf.ones([3, 2]))) == []


def test_an_optimizer_that_a_user_wrote(weights):
    class Own(optimizers.SGD):
        def build(self, var_list):
            super().build(var_list)
            self.own = [self.add_variable_from_reference(v, "own") for v in var_list]

    optimizer = Own()
    slots.create(optimizer, weights)
    names = [slot.variable.name for slot in slots.find(optimizer, weights[1])]
    assert [name.split("/")[0] for name in names] == ["m", "own"]


def test_a_composite_optimizer(weights):
    optimizer = tfrs.experimental.optimizers.CompositeOptimizer(
        [
            (legacy.SGD(), lambda: [weights[0]]),
            (legacy.Adam(), lambda: [weights[1]]),
        ]
    )
    optimizer.apply_gradients(
        [(tf.ones([2]), weights[0]), (tf.ones([3, 2]), weights[1])]
    )
    assert len(slots.find(optimizer, weights[1])) == 2
    assert slots.find(optimizer, weights[0]) == []
