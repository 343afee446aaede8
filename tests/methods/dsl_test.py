import numpy as np
import pytest
import rich.console

from dsl_tf.errors import UserError
from dsl_tf.methods import base, dsl


def test_the_schedule_follows_the_config(small_config):
    small_config.sparsity.update(
        update_interval=30,
        initial_update_ratio=0.2,
        end_fraction=0.5,
        schedule="linear",
    )
    callback = dsl.make_dynamic(small_config, planned_steps=1000, seed=0)
    assert callback._end_step == 500
    assert callback._settings == {
        "name": "linear",
        "initial_update_ratio": 0.2,
        "update_interval": 30,
    }


@pytest.mark.parametrize(("horizon", "steps"), [("auto", 0), ("1", 1), ("7", 7)])
def test_horizon(small_config, horizon, steps):
    small_config.growth.horizon = horizon
    callback = dsl.make_dynamic(small_config, planned_steps=1000, seed=0)
    assert callback.next_horizon == steps


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("growth.horizon", "soon"),
        ("growth.horizon", "0"),
        ("growth.criterion", "gradiant"),
        ("pruning.criterion", "size"),
    ],
)
def test_unknown_values_are_one_line(small_config, key, value):
    small_config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=value):
        dsl.make_dynamic(small_config, planned_steps=1000, seed=0)


def test_budget_is_joint_or_per_table(small_config, small_split):
    assert dsl.make_tables(small_config, small_split, seed=0).joint
    small_config.sparsity.budget = "per_table"
    assert not dsl.make_tables(small_config, small_split, seed=0).joint
    small_config.sparsity.budget = "shared"
    with pytest.raises(UserError, match=r"joint, per_table.*'shared'"):
        dsl.make_tables(small_config, small_split, seed=0)


def test_all_weights_are_counted_where_none_is_pruned(
    small_config, small_split, tmp_path
):
    """As with a budget that dense tables of fewer bits keep to; the history had 0."""
    small_config.sparsity.target = 0.0
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    trained = base.train(task, small_config, dsl.train)
    rows = small_split.num_users + small_split.num_items
    assert trained.selection.history[-1]["nnz"] == rows * 16


@pytest.mark.parametrize(("horizon", "column"), [("1", 9), ("12", 3)])
def test_what_grows_has_the_greatest_gradient_of_the_horizon(
    exchange, small_config, horizon, column
):
    """One step pulls at column 9, those before it at column 3."""
    small_config.growth.horizon = horizon
    found = exchange(dsl, 3, 9)
    assert set(np.nonzero(found.grown)[1]) == {column}


def test_what_a_replaced_step_is_undone_from_is_in_the_account(take, small_config):
    small_config.train.epochs = 1
    plain = take(dsl.train, small_config).passes[0].cost.state_bytes
    small_config.sparsity.exploration_replaces_step = True
    replaced = take(dsl.train, small_config).passes[0].cost.state_bytes
    # Weights and both moments of half of the positions.
    held = 3 * 4 * 800 * small_config.model.embedding_dim // 2
    assert replaced - plain == held
