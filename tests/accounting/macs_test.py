from dsl_tf.accounting import macs
from dsl_tf.types import InteractionMacs, StepSize


def test_training_by_hand():
    each = InteractionMacs(per_user=10.0, per_item=3.0, per_pair=7.0)
    # 5 steps of 2 positives with 4 negatives: 10 · (10 + 5 · 10) = 600.
    size = StepSize(users=2, items=10, pairs=10, positives=2)
    cost = macs.training(each, weights=11, steps=5, size=size)
    assert (cost.forward, cost.backward, cost.optimizer) == (600, 1200, 5 * 11 * 5)
    assert cost.total == 600 + 1200 + 275
    # The propagation of a graph comes once a step: 100 in each of five.
    cost = macs.training(each._replace(once=100.0), 11, steps=5, size=size)
    assert (cost.forward, cost.backward) == (1100, 2200)


def test_inference_by_hand():
    assert macs.inference(InteractionMacs(10.0, 3.0, 7.5), num_items=4) == 52
