import numpy as np
import pytest
import rich.console

from dsl_tf.methods import base, rigl
from dsl_tf.methods import set as set_


def test_set_exchanges_a_constant_share_after_each_epoch(small_config):
    small_config.train.epochs = 10
    callback = set_.explorations(small_config, 1000, seed=0).callback
    assert callback.schedule(100) == callback.schedule(900) == pytest.approx(0.3)
    assert callback.schedule(150) == 0
    small_config.method["set"].update(update_ratio=0.1, update_interval=30)
    callback = set_.explorations(small_config, 1000, seed=0).callback
    assert callback.schedule(60) == pytest.approx(0.1)


def test_rigl_ends_early_and_looks_at_one_batch(small_config):
    callback = rigl.explorations(small_config, 1000, seed=0).callback
    assert callback.next_horizon == 1
    # f / 2 (1 + cos(π t / T_end)), T_end = 750.
    expected = 0.15 * (1 + np.cos(np.pi * 300 / 750))
    assert callback.schedule(300) == pytest.approx(expected)
    assert callback.schedule(700) > 0
    assert callback.schedule(800) == 0


@pytest.mark.parametrize("method", [set_, rigl])
def test_the_settings_of_the_run_are_left_alone(
    small_config, small_split, tmp_path, method
):
    small_config.train.epochs = 2
    small_config.method.rigl.update_interval = 5
    before = small_config.to_json_best_effort()
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    trained = base.train(task, small_config, method.train)
    assert small_config.to_json_best_effort() == before
    ratios = [row["update_ratio"] for row in trained.selection.history]
    assert 0 < max(ratios) <= 0.3
    assert sum(row["exchange_done"] for row in trained.selection.history) > 0
