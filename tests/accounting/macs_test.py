import numpy as np
import tensorflow as tf

from dsl_tf.accounting import macs
from dsl_tf.accounting.macs import TrainingMacs
from dsl_tf.backbones import mf
from dsl_tf.layers.tables import DenseTables, SparseTables
from dsl_tf.optimizers import LazyAdam
from dsl_tf.types import LayerMacs, RowShares, StepSize

LAYERS = {
    "network": LayerMacs(per_user=10.0, per_item=3.0, per_pair=7.0),
    "hop": LayerMacs(once=100.0, once_backward=120.0),
}


def test_training_by_hand():
    # 5 steps of 2 positives with 4 negatives: 10 · (10 + 5 · 10) = 600. The
    # propagation of a graph comes once a step: 100 in each of five.
    size = StepSize(users=2, items=10, pairs=10, positives=2)
    taken = macs.training(LAYERS, steps=5, size=size)
    assert taken == {
        "network": TrainingMacs(600, 1200, 0),
        "hop": TrainingMacs(500, 600, 0),
    }
    assert macs.summed(taken.values()) == (1100, 1800, 0)
    assert macs.summed(taken.values()).total == 2900
    assert macs.summed([]) == (0, 0, 0)


def test_inference_by_hand():
    layers = {"a": LayerMacs(10.0, 3.0, 7.0), "b": LayerMacs(per_pair=0.5, once=100.0)}
    assert macs.inference(layers, num_items=4) == 52


def test_rows_count_as_often_as_steps_take_them_in_by_hand():
    """One of two users has weights, and of four items two, one of them in half."""
    model = mf.MF(2, 4, DenseTables(2, 4), 2)
    users, items = [[1, 1], [0, 0]], [[1, 1], [1, 0], [0, 0], [0, 0]]
    assert macs.of_layers(model)["inner product"].per_pair == 2
    for table, rows in zip(model.trainable_variables, (users, items), strict=True):
        table.assign(np.array(rows, np.float32))
    assert macs.of_layers(model) == {
        "inner product": LayerMacs(per_pair=0.5 * 0.5 + 0.5 * 0.25)
    }
    assert macs.of_steps(model) == macs.of_layers(model)  # no steps are known
    model.shares = RowShares(
        users=np.array([0.75, 0.25]),
        items=np.array([0.25, 0.25, 0.25, 0.25]),
        pairs=np.array([0.5, 0.25, 0.25, 0.0]),
        positives=np.array([1.0, 0.0, 0.0, 0.0]),
    )
    (taken,) = macs.of_steps(model).values()
    assert taken == LayerMacs(per_pair=0.75 * 0.75 + 0.75 * 0.5)
    assert macs.of_layers(model)["inner product"].per_pair == 0.375
    # In ten pairs, with dense users: 1 · .75 + 1 · .5 more than there is; and so on.
    size = StepSize(users=5, items=10, pairs=10, positives=5)
    there = 0.75 * (0.75 + 0.5)
    assert macs.elsewhere(model, size) == round(
        10 * (0.75 + 0.5 - there) + 10 * (2 * 0.75 - there)
    )


def test_gradients_of_positions_without_a_weight_by_hand():
    """Of a pair, an item's density in all columns of the user, and the reverse."""
    size = StepSize(users=2, items=6, pairs=6, positives=2)
    dense = mf.MF(5, 7, DenseTables(5, 7), 4)
    assert macs.elsewhere(dense, size) == 0
    tables = SparseTables(np.ones(5), np.ones(7), 0.5, "masked", joint=True, seed=0)
    model = mf.MF(5, 7, tables, 4)
    users = model.user_vectors({"user_id": tf.range(5)}).numpy() != 0
    items = model.item_vectors().numpy() != 0
    u, i = users.mean(0), items.mean(0)
    expected = 6 * ((1 - u) * i + u * (1 - i)).sum()
    assert abs(macs.elsewhere(model, size) - expected) <= 2  # each is rounded
    assert expected > 6


def test_lazy_updates_are_of_the_rows_that_steps_take_in_by_hand():
    """A user of 1.5 weights and an item of .75, of the five that there are."""
    model = mf.MF(2, 4, DenseTables(2, 4), 2)
    macs.of_layers(model)
    users, items = [[1, 1], [0, 0]], [[1, 1], [1, 0], [0, 0], [0, 0]]
    for table, rows in zip(model.trainable_variables, (users, items), strict=True):
        table.assign(np.array(rows, np.float32))
    model.compile(LazyAdam(0.01))
    quarters = np.full(4, 0.25)
    model.shares = RowShares(np.array([0.75, 0.25]), quarters, quarters, quarters)
    taken = macs.updates(model, 1, StepSize(users=1, items=1, pairs=1, positives=1))
    assert [each.optimizer for each in taken.values()] == [
        round(macs.OPTIMIZER_MACS * weights * 2.25 / 5) for weights in (4, 8)
    ]
