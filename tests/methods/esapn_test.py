import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf import config_files, results
from dsl_tf.errors import UserError
from dsl_tf.layers.sized import CategoryNetwork
from dsl_tf.methods import _growing, _held_out, base, esapn
from dsl_tf.methods._training import ReadBack
from dsl_tf.types import StepSize, empty_interactions

TIMED = ("seconds", "validation_seconds", "positives_per_second")


@pytest.fixture
def config(small_config):
    small_config.method.name = "esapn"
    small_config.method.esapn.update(hidden=8, learning_rate=0.01, rounds=30)
    small_config.sparsity.target = 0.75
    return small_config


@pytest.fixture
def growing(config, task):
    """The growth of a model that has been made, 16 wide."""
    tables = esapn.make_tables(config, task.split, 0)
    model, _ = base.make_model(task.split, config, tables, 0)
    callback = _growing.Growing(
        _held_out.HeldOut(task.split, config, 0),
        task.split.train,
        sparsity=0.75,
        interval=2,
        hidden=8,
        learning_rate=0.01,
        initial_growth=0.5,
        baseline=2,
        seed=0,
    )
    callback.set_model(model)
    return callback


def _untimed(state):
    return [{k: v for k, v in row.items() if k not in TIMED} for row in state.history]


def test_sizes_only_grow_and_end_at_the_budget(growing):
    """After each time that rows are asked; MF at 75 % has four columns a row."""
    (layer,) = esapn.chosen_layers(growing.model)
    budget = layer.input_dim * 16 // 4
    before, counts = layer.size_of(), [layer.taken()]
    for _ in range(12):
        growing.on_train_batch_begin(0)
        growing.on_train_batch_end(0)
        after = layer.size_of()
        assert set(np.unique(after - before)) <= {0, 1}
        before = after
        counts.append(layer.taken())
    assert counts == sorted(counts)
    assert counts[0] == layer.input_dim
    # Nothing that is left would fit a row that is asked often.
    assert budget - 8 < counts[-1] <= budget
    assert len(growing.rewards) == 2


def test_who_is_asked(growing):
    """Users and items of validation, and of training interactions."""
    (layer,) = growing._layers
    growing._batch = growing.batches.next()
    rows = growing._rows(layer, 0)
    assert len(np.unique(rows)) == len(rows)
    first_item = growing.model.num_users
    assert set(growing._batch["user"].numpy()) < set(rows[rows < first_item])
    assert set(growing._batch["item"].numpy() + first_item) < set(rows)
    np.testing.assert_array_equal(rows, growing._rows(layer, 0))
    assert not np.array_equal(rows, growing._rows(layer, 2))
    layer.kind = "items"
    assert growing._rows(layer, 0).max() < growing.model.num_items


def test_what_the_budget_refuses_is_not_learnt_from(growing):
    (layer,), (policy,) = growing._layers, growing.policies
    policy.bias.assign([0.0, 50.0])  # everybody wants to grow
    everybody = np.arange(layer.input_dim)
    layer.grow(everybody)
    layer.grow(everybody[:-3])  # leaves two rows' worth to grow from 2 to 4
    layer.grow(everybody[-1:])
    growing._rows = lambda *_: everybody[-3:]
    budget = growing._budget(layer)
    assert budget - layer.taken() == 4
    growing._budget = lambda _: budget - 2  # and now one
    asked = growing._ask(layer, policy, 0)
    assert asked.grew.tolist() == [1]
    assert layer.taken() == budget - 2
    assert len(growing._ask(layer, policy, 1).grew) == 0


def test_the_gradient_of_reinforce_by_hand(rng):
    """d (-A mean log π) / d logits = A (π - action) / m."""
    policy = CategoryNetwork([3, 2], 4, [0.0, -1.0], seed=0)
    policy.kernel.assign(rng.normal(size=(4, 2)))
    asked = _growing.Asked(
        np.array([0, 2, 2]), np.array([1, 0, 0]), np.array([1, 0, 1], np.int32)
    )
    with tf.GradientTape() as tape:
        loss = _growing.policy_loss(policy, asked, tf.constant(0.3))
    gradients = tape.gradient(loss, policy.variables)
    gradients = [tf.convert_to_tensor(each).numpy() for each in gradients]
    first, second, kernel, bias = (v.numpy() for v in policy.variables)
    hidden = np.tanh(first[asked.bucket] + second[asked.size])
    logits = hidden @ kernel + bias
    pi = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert float(loss) == pytest.approx(
        -0.3 * np.log(pi[np.arange(3), asked.grew]).mean(), rel=1e-5
    )
    of_logits = 0.3 * (pi - np.eye(2)[asked.grew]) / 3
    of_hidden = (of_logits @ kernel.T) * (1 - hidden**2)
    np.testing.assert_allclose(gradients[3], of_logits.sum(axis=0), rtol=1e-4)
    np.testing.assert_allclose(gradients[2], hidden.T @ of_logits, rtol=1e-4)
    expected = np.zeros((3, 4))
    np.add.at(expected, asked.bucket, of_hidden)
    np.testing.assert_allclose(gradients[0], expected, rtol=1e-4, atol=1e-7)
    nobody = _growing.Asked(*(each[:0] for each in asked))
    assert float(_growing.policy_loss(policy, nobody, tf.constant(0.3))) == 0.0


def test_the_reward_is_compared_with_the_last_ones(growing):
    """One minus a loss of validation; the baseline is a mean of two."""
    losses, advantages = iter([0.9, 0.5, 0.1, 0.6]), []
    growing._loss = lambda batch: next(losses)
    growing._step = lambda asked, advantage: advantages.append(float(advantage))
    steps = growing.model.optimizer.iterations
    for step in range(7):
        steps.assign(step)
        growing.on_train_batch_begin(step)
        growing.on_train_batch_end(step)
    # 0.5 after 0.1; 0.9 after their mean; 0.4 after that of 0.5 and 0.9.
    np.testing.assert_allclose(advantages, [0.4, 0.6, -0.3], rtol=1e-5)
    np.testing.assert_allclose(growing.rewards, [0.9, 0.4])


def test_the_policy_alone_moves(growing):
    before = [variable.numpy() for variable in growing.policies[0].variables]
    others = [v.numpy() for v in growing.model.trainable_variables]
    growing._asked = [
        _growing.Asked(np.array([0, 1]), np.array([0, 0]), np.array([1, 0], np.int32))
    ]
    for _ in range(2):  # the first one moves what begins at zero
        growing._step(growing._asked, tf.constant(1.0))
    for ours, theirs in zip(growing.policies[0].variables, before, strict=True):
        assert not np.array_equal(ours, theirs)
    for ours, theirs in zip(growing.model.trainable_variables, others, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_policy_begins_with_the_growth_asked_for(growing):
    policy = growing.policies[0]
    logits = policy([np.array([0, 3]), np.array([0, 2])])
    np.testing.assert_allclose(tf.nn.softmax(logits)[:, 1], [0.5, 0.5])


@pytest.mark.slow
def test_a_resumed_run_is_an_uninterrupted_one(config, task, tmp_path, interrupted):
    whole = dataclasses.replace(task, folder=tmp_path / "whole")
    expected = base.train(whole, config, esapn.train)
    found = interrupted(task, config, esapn.train, step=31)
    for ours, theirs in zip(found.model.weights, expected.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert _untimed(found.selection) == _untimed(expected.selection)
    assert found.selection.companion == expected.selection.companion
    assert len(found.selection.companion["rewards"]) == 5

    again = base.restore(task, config, esapn.train)
    for ours, theirs in zip(again.model.weights, found.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_rows_are_handed_back_in_their_own_sizes(config, task):
    config.method.esapn.initial_growth = 0.5
    trained = base.train(task, config, esapn.train)
    cost = results.costs(trained, base_rss_bytes=1)
    (layer,) = esapn.chosen_layers(trained.model)
    rows = layer.input_dim
    assert sum(t.shape.num_elements() for t in layer.candidates) == layer.taken()
    assert 0.9 * 4 * rows < layer.taken() <= 4 * rows
    maps = 2 + 8 + 32 + 128
    # A byte for its size and four for its place.
    assert cost["inference"]["table_bytes"] == 4 * (layer.taken() + maps) + 5 * rows
    assert cost["sparsity"] == 0.0

    # In training: all tables, a byte a row, Adam, and the policy with its own.
    policy = (int(layer.buckets.max()) + 1 + 5) * 8 + 8 * 2 + 2
    state = 3 * 4 * (31 * rows + maps + policy) + rows + 2 * 8
    assert cost["training"]["state_bytes"] == state > 1.9 * 3 * 4 * 16 * rows

    # The same rows, bit for bit.
    passes = ReadBack(task, config, task.split)
    as_trained = passes.backbone(config, esapn.make_tables)
    for ours, theirs in (
        (trained.model.tables.whole(), as_trained.tables.whole()),
        (layer.size_of(), esapn.chosen_layers(as_trained)[0].size_of()),
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_its_multiply_accumulates_by_hand(growing):
    """Rows begin one wide, and are mapped from there to 2, 4, 8 and 16 at once."""
    held_out = growing.batches.size
    # Asked before the steps 0, 2 and 4.
    taken = esapn.Growth(growing).macs(5, StepSize(3, 7, 21, 3))["policies"]
    making = 5 * 16 * (3 + 7)
    # Each row once, however often the batch has it.
    (layer,) = _held_out.sized_layers(growing.model)
    rows = min(held_out.users + held_out.items, layer.input_dim)
    reward = 3 * 16 * (rows + held_out.pairs)
    # Eight units and two actions, of users and items, of as many drawn from training.
    asked = 3 * 2 * (held_out.users + held_out.positives) * 8 * 2
    assert taken.forward == making + reward + 2 * asked
    assert taken.backward == 2 * (making + asked)
    (policy,) = growing.policies
    weights = sum(v.shape.num_elements() for v in policy.variables)
    assert taken.optimizer == 3 * 5 * weights


def test_a_refit_keeps_the_sizes(config, task):
    config.train.refit = True
    trained = base.train(task, config, esapn.train)
    assert [each.name for each in trained.passes] == [
        "select",
        "choose_sizes",
        "refit",
    ]
    assert trained.passes[2].cost.layers["rows of their sizes"].forward > 0
    passes = ReadBack(task, config, task.split)
    selected = passes.backbone(config, esapn.make_tables)
    assert esapn.sizes(selected) == esapn.sizes(trained.model)
    assert len(set(esapn.sizes(selected)[0])) > 1
    again = base.restore(task, config, esapn.train)
    for ours, theirs in zip(again.model.weights, trained.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_lightgcn(task):
    config = config_files.load(config_files.find("lightgcn.py"), "own")
    config.model.embedding_dim = 8
    config.sparsity.update(target=0.5, budget="per_table")
    config.train.update(epochs=2, batch_size=256, negatives=16, validate_every=1)
    config.method.esapn.update(hidden=8, rounds=30, initial_growth=0.5)
    trained = base.train(task, config, esapn.train)
    losses = [row["loss"] for row in trained.selection.history]
    assert losses[-1] < losses[0]
    layers = esapn.chosen_layers(trained.model)
    assert [layer.kind for layer in layers] == ["users", "items"]
    for layer in layers:
        assert layer.input_dim < layer.taken() <= 4 * layer.input_dim


def test_it_needs_validation_pairs_and_a_size_within_the_budget(
    config, task, small_split
):
    split = dataclasses.replace(small_split, validation=empty_interactions())
    with pytest.raises(UserError, match="chooses on validation"):
        base.train(dataclasses.replace(task, split=split), config, esapn.train)
    cdae = config_files.load(config_files.find("cdae.py"), "own")
    cdae.method.name = "esapn"
    with pytest.raises(UserError, match="a backbone that scores pairs"):
        base.train(task, cdae, esapn.train)
    config.sparsity.target = 0.95
    with pytest.raises(UserError, match=r"Received: 1 of a width of 16 .*=0\.95"):
        base.train(task, config, esapn.train)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden", 0),
        ("learning_rate", 0.0),
        ("rounds", 0),
        ("initial_growth", 1.0),
        ("baseline", 0),
    ],
)
def test_keys_out_of_range(config, task, key, value):
    config.method.esapn[key] = value
    with pytest.raises(UserError, match=f"`method.esapn.{key}` must be"):
        base.train(task, config, esapn.train)
