import numpy as np
import pytest
import rich.console

from dsl_tf.errors import UserError
from dsl_tf.methods import base, dsl, rigl


def test_it_ends_early_and_looks_at_one_batch(small_config):
    callback = rigl.explorations(small_config, 1000, seed=0).callback
    assert callback.next_horizon == 1
    # f / 2 (1 + cos(π t / T_end)), T_end = 750.
    expected = 0.15 * (1 + np.cos(np.pi * 300 / 750))
    assert callback.schedule(300) == pytest.approx(expected)
    assert callback.schedule(350) == 0  # between two
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


def test_what_grows_has_the_greatest_gradient_of_the_last_batch(exchange):
    found = exchange(rigl, 3, 9)
    assert set(np.nonzero(found.grown)[1]) == {9}


def test_the_share_falls_and_after_the_end_nothing_moves(take, small_config):
    small_config.train.epochs = 4
    small_config.method.rigl.update_interval = 4
    taken = take(rigl.train, small_config)
    rows = taken.passes[0].state.history
    ratios = [row["update_ratio"] for row in rows]
    assert 0.3 > ratios[0] > ratios[1] > ratios[2] > ratios[3] == 0
    assert [row["exchange_done"] > 0 for row in rows] == [True, True, True, False]
    masks = [next(iter(each.masks.values())) for each in taken.validated]
    assert np.any(masks[1] != masks[2])
    np.testing.assert_array_equal(masks[2], masks[3])


@pytest.mark.parametrize("method", [rigl, dsl])
def test_an_exchange_takes_the_place_of_a_step(take, small_config, small_split, method):
    """All steps of the first epoch are exchanges, none of the second."""
    small_config.train.update(epochs=2, batch_size=512)
    steps = len(small_split.train) // small_config.train.batch_size
    end = (steps + 1.5) / (2 * steps)
    small_config.method.rigl.update(update_interval=1, end_fraction=end)
    small_config.sparsity.update(update_interval=1, end_fraction=end)
    taken = take(method.train, small_config)
    began, (first, second) = taken.began["select"], taken.validated
    assert all(np.any(first.masks[name] != mask) for name, mask in began.masks.items())
    for before, now, after in zip(
        began.network, first.network, second.network, strict=True
    ):
        assert np.array_equal(before, now) == (method is rigl)
        assert not np.array_equal(now, after)


def test_it_is_rigl_whatever_dsl_is_set_to(take, small_config):
    small_config.method.rigl.update_interval = 4
    plain = take(rigl.train, small_config).model
    small_config.growth.update(criterion="random", horizon="3", second_moment="row")
    small_config.pruning.criterion = "scaled_magnitude"
    again = take(rigl.train, small_config).model
    for ours, theirs in zip(plain.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    ("key", "value"), [("update_ratio", 2.0), ("update_interval", -1)]
)
def test_settings_out_of_range_have_their_own_names(small_config, key, value):
    small_config.method["rigl"][key] = value
    with pytest.raises(UserError, match=rf"method\.rigl\.{key}` must be"):
        rigl.explorations(small_config, 1000, seed=0)
