import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf import config_files, results
from dsl_tf.accounting.size import variable_bytes
from dsl_tf.errors import UserError
from dsl_tf.methods import _held_out, autoemb, base
from dsl_tf.methods._training import ReadBack
from dsl_tf.types import StepSize, empty_interactions

TIMED = ("seconds", "validation_seconds", "positives_per_second")


@pytest.fixture
def config(small_config):
    small_config.method.name = "autoemb"
    small_config.method.autoemb.update(hidden=8, learning_rate=0.01)
    return small_config


@pytest.fixture
def steps(config, task):
    """The controllers' steps, of a model that has been made."""
    tables = autoemb.make_tables(config, task.split, 0)
    model, _ = base.make_model(task.split, config, tables, 0)
    batches = _held_out.HeldOut(task.split, config, 0)
    callback = autoemb.ControllerSteps(batches, 0.01)
    callback.set_model(model)
    return callback


def _untimed(state):
    return [{k: v for k, v in row.items() if k not in TIMED} for row in state.history]


def test_a_step_of_the_controller_moves_the_controller_alone(steps):
    before = {v.ref(): v.numpy() for v in steps.model.variables}
    moments = [v.numpy() for v in steps.model.optimizer.variables]
    for _ in range(2):  # the first one moves what begins at zero
        steps.on_train_batch_end(0)
    moved = {r for r, v in before.items() if not np.array_equal(v, r.deref())}
    assert moved == {variable.ref() for variable in steps.variables}
    assert len(moved) == 3
    for ours, theirs in zip(steps.model.optimizer.variables, moments, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_its_gradient_is_that_of_the_validation_loss(steps, rng):
    for variable in steps.variables:
        variable.assign(rng.normal(size=variable.shape))
    batch = steps.batches.next()
    bias = steps.variables[2]
    found = steps.gradients(batch)[2].numpy()
    center = bias.numpy()
    for k in range(len(center)):
        losses = []
        for change in (0.05, -0.05):
            bias.assign(center + change * np.eye(len(center))[k])
            losses.append(float(steps.model.compute_loss(batch)))
        numeric = (losses[0] - losses[1]) / 0.1
        assert found[k] == pytest.approx(numeric, rel=0.05, abs=1e-4)


def test_a_step_of_the_model_leaves_the_controller(steps, task, config):
    model = steps.model
    before = [variable.numpy() for variable in steps.variables]
    batches = model.batches(task.split, config.train, 0)
    step = tf.Variable(0, dtype=tf.int64)
    tables = [v.numpy() for v in model.trainable_variables]
    model.train_step(next(iter(batches.dataset(step))))
    for ours, theirs in zip(steps.variables, before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(model.trainable_variables, tables, strict=True):
        assert not np.array_equal(ours, theirs)


@pytest.mark.parametrize("sampling", ["per_pair", "shared"])
def test_batches_are_of_validation(task, config, sampling):
    config.train.sampling = sampling
    split = task.split
    held_out = _held_out.HeldOut(split, config, 0)

    def known(*parts):
        return {p for x in parts for p in zip(x.users, x.items, strict=True)}

    validation, everything = (
        known(split.validation),
        known(split.validation, split.train),
    )
    first = held_out.next()
    second = held_out.next()
    users, items = first["user"].numpy(), first["item"].numpy()
    assert len(users) == held_out.size.users == config.train.batch_size
    assert set(zip(users, items, strict=True)) <= validation
    if sampling == "per_pair":
        pairs = zip(np.repeat(users, 16), first["negatives"].numpy().flat, strict=True)
        assert not set(pairs) & everything
    held_out.start(1)
    for key, value in held_out.next().items():
        np.testing.assert_array_equal(value, second[key])


@pytest.mark.slow
def test_a_resumed_run_is_an_uninterrupted_one(config, task, tmp_path, interrupted):
    whole = dataclasses.replace(task, folder=tmp_path / "whole")
    expected = base.train(whole, config, autoemb.train)
    found = interrupted(task, config, autoemb.train, step=31)
    for ours, theirs in zip(found.model.weights, expected.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert _untimed(found.selection) == _untimed(expected.selection)
    # It has left the mean of the candidates, with which it begins.
    assert abs(expected.selection.history[-1]["mean_size"] - 6.2) > 0.01
    again = base.restore(task, config, autoemb.train)
    for ours, theirs in zip(again.model.weights, found.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_all_that_it_holds_is_in_the_account(config, task):
    config.train.epochs = 1
    trained = base.train(task, config, autoemb.train)
    cost = results.costs(trained, base_rss_bytes=1)
    rows = task.split.num_users + task.split.num_items
    candidates = rows * 31 + 31 * 16
    (layer,) = autoemb.mixed_layers(trained.model)
    controller = sum(v.shape.num_elements() for v in layer.controller.variables)
    assert controller == (layer.buckets.max() + 1) * 8 + 8 * 5 + 5
    # A byte a row for its bucket.
    tables = 4 * (candidates + controller) + rows
    assert cost["inference"]["table_bytes"] == tables
    assert tables > 1.9 * 4 * 16 * rows
    # Both Adams: two moments each, and a count of steps.
    state = tables + 2 * 4 * (candidates + controller) + 2 * 8
    assert cost["training"]["state_bytes"] == state
    assert state == variable_bytes(
        [*trained.model.variables, *trained.model.optimizer.variables]
    ) + (2 * 4 * controller + 8)
    assert cost["sparsity"] == 0.0
    assert trained.model.item_vectors().shape[1] == 16


def test_the_controllers_work_is_counted(steps):
    """MF of width 16: a pair takes 16, a row its maps and its mixture."""
    along = autoemb.Alternation(steps)
    held_out = steps.batches.size
    taken = along.macs(10, StepSize(3, 7, 21, 3))["controllers"]
    row = 31 * 16 + 5 * 16
    controller = sum(v.shape.num_elements() for v in steps.variables)
    # Eight units and five sizes for each bucket, once for each of the two steps.
    (layer,) = autoemb.mixed_layers(steps.model)
    mixing = len(set(layer.buckets)) * 8 * 5
    scoring = 16 * held_out.pairs
    # A row is made once, however often a batch has it: of the second batch, all rows.
    assert held_out.users + held_out.items > layer.input_dim
    making = row * (3 + 7 + layer.input_dim)
    assert taken.forward == 10 * (scoring + making + 2 * mixing)
    assert taken.backward == 2 * taken.forward
    assert taken.optimizer == 10 * 5 * controller


def test_a_refit_keeps_the_mixture(config, task):
    config.train.refit = True
    trained = base.train(task, config, autoemb.train)
    names = [each.name for each in trained.passes]
    assert names == ["select", "choose_mixtures", "refit"]
    refit = trained.passes[2].cost
    (layer,) = autoemb.mixed_layers(trained.model)
    assert refit.size.users + refit.size.items > layer.input_dim
    made = (31 + 5) * 16 * layer.input_dim * refit.steps
    assert refit.layers["rows of their sizes"] == (made, 2 * made, 0)
    assert layer.controller is None
    selected = ReadBack(task, config, task.split).backbone(config, autoemb.make_tables)
    (other,) = autoemb.mixed_layers(selected)
    for ours, theirs in zip(layer.mixture(), other.mixture(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert np.ptp(layer.mixture().logits, axis=1).max() > 0
    again = base.restore(task, config, autoemb.train)
    for ours, theirs in zip(again.model.weights, trained.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_lightgcn_mixes_all_rows_in_each_step(task):
    config = config_files.load(config_files.find("lightgcn.py"), "own")
    config.model.embedding_dim = 8
    config.train.update(epochs=2, batch_size=256, negatives=16, validate_every=1)
    config.method.autoemb.hidden = 8
    trained = base.train(task, config, autoemb.train)
    losses = [row["loss"] for row in trained.selection.history]
    assert losses[-1] < losses[0]
    rows = task.split.num_users + task.split.num_items
    size = StepSize(1, 1, 1, 1)
    (layer,) = autoemb.mixed_layers(trained.model)
    assert _held_out.making_macs(trained.model, size) == rows * layer.row_macs()


def test_it_needs_validation_and_pairs(config, task, small_split):
    split = dataclasses.replace(small_split, validation=empty_interactions())
    with pytest.raises(UserError, match="chooses on validation"):
        base.train(dataclasses.replace(task, split=split), config, autoemb.train)
    cdae = config_files.load(config_files.find("cdae.py"), "own")
    cdae.method.name = "autoemb"
    with pytest.raises(UserError, match="a backbone that scores pairs"):
        base.train(task, cdae, autoemb.train)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("hidden", 0, "`method.autoemb.hidden` must be at least 1"),
        ("learning_rate", 0.0, "`method.autoemb.learning_rate` must be above 0"),
        ("sizes", (2.0,), "`sizes` must be one or more fractions"),
    ],
)
def test_keys_out_of_range(config, task, key, value, message):
    config.method.autoemb[key] = value
    with pytest.raises(UserError, match=message):
        base.train(task, config, autoemb.train)
