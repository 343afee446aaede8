import numpy as np
import pytest
import rich.console

from dsl_tf.errors import UserError
from dsl_tf.methods import base
from dsl_tf.methods import set as set_


def test_it_exchanges_a_constant_share_after_each_epoch(small_config):
    small_config.train.epochs = 10
    callback = set_.explorations(small_config, 1000, seed=0).callback
    assert callback.schedule(100) == callback.schedule(900) == pytest.approx(0.3)
    assert callback.schedule(150) == 0
    small_config.method["set"].update(update_ratio=0.1, update_interval=30)
    callback = set_.explorations(small_config, 1000, seed=0).callback
    assert callback.schedule(60) == pytest.approx(0.1)


def test_the_settings_of_the_run_are_left_alone(small_config, small_split, tmp_path):
    small_config.train.epochs = 2
    before = small_config.to_json_best_effort()
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    trained = base.train(task, small_config, set_.train)
    assert small_config.to_json_best_effort() == before
    ratios = [row["update_ratio"] for row in trained.selection.history]
    assert max(ratios) == pytest.approx(0.3)
    assert sum(row["exchange_done"] for row in trained.selection.history) > 0


def test_what_grows_is_random_whatever_the_gradient(exchange):
    found, other = exchange(set_, 3, 3), exchange(set_, 9, 9)
    np.testing.assert_array_equal(found.grown, other.grown)
    np.testing.assert_array_equal(found.pruned, other.pruned)
    columns = np.count_nonzero(found.grown, axis=0)
    assert columns.min() > 0
    assert columns.max() < columns.sum() / 4
    users, items = np.split(np.count_nonzero(found.grown, axis=1), 2)
    assert users.sum() > columns.sum() / 4
    assert items.sum() > columns.sum() / 4


def test_it_is_set_whatever_dsl_is_set_to(take, small_config):
    plain = take(set_.train, small_config).model
    small_config.growth.update(horizon="999", second_moment="row")
    small_config.pruning.criterion = "scaled_magnitude"
    small_config.sparsity.exploration_replaces_step = True
    again = take(set_.train, small_config).model
    for ours, theirs in zip(plain.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_a_single_epoch_has_no_exchange(take, small_config):
    """It was refused because of an interval that nobody had set."""
    small_config.train.epochs = 1
    (only,) = take(set_.train, small_config).passes
    assert [row["exchange_asked"] for row in only.state.history] == [0]


@pytest.mark.parametrize(
    ("key", "value"), [("update_ratio", 2.0), ("update_interval", -1)]
)
def test_settings_out_of_range_have_their_own_names(small_config, key, value):
    small_config.method["set"][key] = value
    with pytest.raises(UserError, match=rf"method\.set\.{key}` must be"):
        set_.explorations(small_config, 1000, seed=0)
