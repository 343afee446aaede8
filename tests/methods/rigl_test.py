import numpy as np
import pytest
import rich.console

from dsl_tf.methods import base, rigl


def test_it_ends_early_and_looks_at_one_batch(small_config):
    callback = rigl.explorations(small_config, 1000, seed=0).callback
    assert callback.next_horizon == 1
    # f / 2 (1 + cos(π t / T_end)), T_end = 750.
    expected = 0.15 * (1 + np.cos(np.pi * 300 / 750))
    assert callback.schedule(300) == pytest.approx(expected)
    assert callback.schedule(700) > 0
    assert callback.schedule(800) == 0


def test_the_settings_of_the_run_are_left_alone(small_config, small_split, tmp_path):
    small_config.train.epochs = 2
    small_config.method.rigl.update_interval = 5
    before = small_config.to_json_best_effort()
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    trained = base.train(task, small_config, rigl.train)
    assert small_config.to_json_best_effort() == before
    ratios = [row["update_ratio"] for row in trained.selection.history]
    assert 0 < max(ratios) <= 0.3
    assert sum(row["exchange_done"] for row in trained.selection.history) > 0
