"""A run that was killed anywhere goes on as if nothing had happened."""

import dataclasses
import os
import signal

import numpy as np
import pytest

from dsl_tf import config_files
from dsl_tf.errors import UserError
from dsl_tf.training import checkpoints, fit, observers

TIMED = ("seconds", "validation_seconds", "positives_per_second")


class _Killed(BaseException):
    """Stands for SIGKILL: nothing is written any more."""


def _history(state):
    rows = [dict(row) for row in state.history]
    for row in rows:
        for name in TIMED:
            del row[name]
    return rows


def _assert_equal(trained, expected):
    for ours, theirs in zip(trained.model.weights, expected.model.weights, strict=True):
        assert ours.name == theirs.name
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    for ours, theirs in zip(trained.passes, expected.passes, strict=True):
        assert _history(ours.state) == _history(theirs.state)
        assert ours.state.companion == theirs.state.companion
        assert ours.state.best_step == theirs.state.best_step


def _kill_at_step(patch, step, name, save=True):
    """In the pass `name`, after `step` steps and a checkpoint, if one can be."""
    original = observers.Checkpoints.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        here = self._folder._folder.name == name
        killed = here and int(self.model.optimizer.iterations) == step
        self._seconds = 0.0 if killed and save else 1e9
        original(self, batch, logs)
        if killed:
            raise _Killed

    patch.setattr(observers.Checkpoints, "on_train_batch_end", on_train_batch_end)


def _ctrl_c_at_step(patch, step):
    original = observers.LossLog.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        original(self, batch, logs)
        if int(self.model.optimizer.iterations) == step:
            os.kill(os.getpid(), signal.SIGINT)

    patch.setattr(observers.LossLog, "on_train_batch_end", on_train_batch_end)


def _kill_in_validation(patch, epoch):
    original = observers.Validation._select

    def select(self, metrics):
        original(self, metrics)
        # After the best weights were written, before the checkpoint is.
        if self._state.epochs == epoch:
            raise _Killed

    patch.setattr(observers.Validation, "_select", select)


@pytest.fixture
def config(small_neumf):
    """Everything that a resume could get wrong; an epoch has 52 steps."""
    small_neumf.model.dropout = 0.2
    small_neumf.model.regularization = 1e-3
    small_neumf.train.epochs = 3
    small_neumf.sparsity.update_interval = 20
    small_neumf.train.checkpoint_minutes = 1e9
    return small_neumf


@pytest.fixture(scope="module")
def _trained():
    return {}


@pytest.fixture
def uninterrupted(config, train, tmp_path_factory, _trained):
    """The run of `config`, trained once; and its folder."""
    if not _trained:
        folder = tmp_path_factory.mktemp("uninterrupted")
        _trained["run"] = train(config, folder), folder
    return _trained["run"]


#: The probing step; mid-interval while recording; some steps after that checkpoint; a
#: step that explored; in a validation; Ctrl-C, which saves.
KILLS = [
    lambda patch: _kill_at_step(patch, 1, "select"),
    lambda patch: _kill_at_step(patch, 19, "select"),
    lambda patch: _kill_at_step(patch, 30, "select", save=False),
    lambda patch: _kill_at_step(patch, 40, "select"),
    lambda patch: _kill_in_validation(patch, 1),
    lambda patch: _ctrl_c_at_step(patch, 60),
]


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(KILLS, marks=pytest.mark.slow, id="anywhere"),
        pytest.param([KILLS[1], KILLS[-1]], id="while recording, and by Ctrl-C"),
    ],
)
def test_killed_anywhere_dsl_goes_on_bit_for_bit(
    kills, config, train, tmp_path, monkeypatch, uninterrupted
):
    expected, _ = uninterrupted
    assert expected.passes[0].state.companion["records"]
    handler = signal.getsignal(signal.SIGINT)
    for kill in kills:
        with monkeypatch.context() as patch:
            kill(patch)
            with pytest.raises((_Killed, KeyboardInterrupt)):
                train(config, tmp_path / "killed")
    assert signal.getsignal(signal.SIGINT) is handler
    state = checkpoints.read_state(tmp_path / "killed" / "select")
    assert (state["epochs"], state["loss_count"]) == (1, 8)
    _assert_equal(train(config, tmp_path / "killed"), expected)


@pytest.mark.slow
def test_a_propagated_table_goes_on_bit_for_bit(config, train, tmp_path, monkeypatch):
    """Its gradients are recorded in blocks of rows, here summed over 15 steps."""
    config.model = config_files.load(config_files.find("lightgcn.py"), "own").model
    config.growth.horizon = "15"
    config.train.epochs = 2
    config.train.update(positives="users", sampling="shared", negatives=32)
    expected = train(config, tmp_path / "uninterrupted")
    assert expected.passes[0].state.companion["records"]
    for step in (12, 40):  # in the middle of a sum; after an exploration
        with monkeypatch.context() as patch:
            _kill_at_step(patch, step, "select")
            with pytest.raises(_Killed):
                train(config, tmp_path / "killed")
    _assert_equal(train(config, tmp_path / "killed"), expected)


@pytest.mark.slow
def test_refit_takes_the_chosen_steps_and_resumes(config, train, tmp_path, monkeypatch):
    config.method.name = "dense"
    config.train.refit = True
    config.train.epochs = 2
    expected = train(config, tmp_path / "uninterrupted")
    select, refit = expected.passes
    # 13,490 + 1,519 pairs in batches of 256 are 58 steps an epoch, not 52: the
    # last epoch is cut short.
    assert select.state.best_step == 104
    assert [row["step"] for row in refit.state.history] == [58, 104]
    assert "valid_recall@20" not in refit.state.history[0]
    assert len(expected.split.validation) == 0
    with monkeypatch.context() as patch:
        _kill_at_step(patch, 104, "refit")
        with pytest.raises(_Killed):
            train(config, tmp_path / "killed")
    _assert_equal(train(config, tmp_path / "killed"), expected)


def test_a_finished_run_is_read_back_without_a_step(
    config, train, monkeypatch, uninterrupted
):
    expected, folder = uninterrupted
    _kill_at_step(monkeypatch, 156, "select")
    _assert_equal(train(config, folder), expected)


def test_patience_stops_and_the_best_weights_come_back(
    config, train, tmp_path, monkeypatch
):
    config.method.name = "dense"
    config.train.epochs = 9
    config.train.patience = 2
    scores = iter([0.1, 0.3, 0.3, 0.2, 0.9])
    kept = {}

    def validate(self):
        state = self._state
        kept[state.epochs] = [w.numpy() for w in self.model.weights]
        return dataclasses.replace(result, mean={"recall@20": next(scores)})

    result = fit.RankingResult("", np.zeros(0), {}, {}, {})
    original = observers.Validation.__init__

    def init(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self._validate = lambda: validate(self)

    monkeypatch.setattr(observers.Validation, "__init__", init)
    trained = train(config, tmp_path)
    state = trained.passes[0].state
    # A tie is no improvement: epochs 3 and 4 were waited for in vain.
    assert (state.epochs, state.best_epoch, state.best_step) == (4, 2, 104)
    assert state.best_score == 0.3
    for ours, best in zip(trained.model.weights, kept[2], strict=True):
        np.testing.assert_array_equal(ours.numpy(), best)
    assert not np.array_equal(kept[4][0], kept[2][0])


def test_epochs_without_validation_are_waited_for(config, train, tmp_path):
    config.method.name = "dense"
    config.train.update(epochs=5, validate_every=2)
    state = train(config, tmp_path).passes[0].state
    measured = [row["epoch"] for row in state.history if "valid_recall@20" in row]
    assert measured == [2, 4, 5]  # the last one in any case
    assert state.best_epoch in measured


def test_without_validation_the_last_epoch_is_the_best(
    config, train, tmp_path, small_split
):
    config.method.name = "dense"
    config.train.update(epochs=2, patience=1)
    nothing = small_split.validation.take(np.zeros(0, np.int64))
    split = dataclasses.replace(small_split, validation=nothing)
    state = train(config, tmp_path, split).passes[0].state
    assert (state.epochs, state.best_epoch, state.best_step) == (2, 2, 104)
    assert [name for name in state.history[0] if name.startswith("valid_")] == []


def test_a_loss_that_is_not_finite_is_one_line(config, train, tmp_path):
    config.method.name = "dense"
    config.optimizer.name = "sgd"
    config.train.learning_rate = 1e30
    with pytest.raises(UserError, match=r"finite.*`train.learning_rate`.*at step \d+"):
        train(config, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("negatives", 0),
        ("patience", -1),
        ("validate_every", 0),
        ("checkpoint_minutes", -1.0),
        ("learning_rate", 0.0),
    ],
)
def test_settings_out_of_range(config, train, tmp_path, key, value):
    config.train[key] = value
    with pytest.raises(UserError, match=rf"`train.{key}` must be .*Received: {value}"):
        train(config, tmp_path)


def test_a_batch_larger_than_the_data_is_the_data(config, train, tmp_path):
    config.method.name = "dense"
    config.train.update(epochs=1, batch_size=10**6)
    trained = train(config, tmp_path)
    assert trained.passes[0].cost.size.positives == 13490
    assert trained.passes[0].state.history[-1]["step"] == 1
