import io
import re

import pytest
import rich.console
import tensorflow as tf
import tf_keras as keras

from dsl_tf.training import progress
from dsl_tf.training.state import TrainingState


class _Clock:
    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = _Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def shown(clock):
    """A progress over 2 epochs of 100 steps of 50 positives, and what it wrote."""

    def make(terminal):
        file = io.StringIO()
        console = rich.console.Console(
            file=file, force_terminal=terminal, width=120, color_system=None
        )
        state = TrainingState()
        callback = progress.Progress(state, console, 200, 100, 50, "recall@20")
        model = keras.Sequential()
        model.optimizer = keras.optimizers.SGD()
        callback.set_model(model)
        return callback, state, file

    return make


def _step(callback, state, clock, step, seconds):
    clock.now += seconds
    state.loss_sum, state.loss_count = 0.5 * step, step
    state.epoch_seconds += seconds
    callback.model.optimizer.iterations.assign(step)
    callback.on_train_batch_end(step - 1)


def test_a_log_gets_plain_lines(shown, clock):
    callback, state, file = shown(terminal=False)
    callback.on_train_begin()
    _step(callback, state, clock, 1, 30.0)  # compiles: counts for no pace
    for step in range(2, 12):
        _step(callback, state, clock, step, 5.0)
    # 80 s have gone: one line, at the first step past a minute. 6 steps of 50
    # positives in 30 s after the first step; 193 steps of 5 s are left.
    assert file.getvalue() == (
        "epoch 1/2  step 7/200  loss 0.5000  10 positives/s  0:16:05 left\n"
    )
    state.history.append(
        {
            "epoch": 1,
            "step": 100,
            "loss": 0.25,
            "valid_recall@20": 0.125,
            "positives_per_second": 1234,
            "seconds": 80.0,
            "validation_seconds": 2.0,
        }
    )
    state.best_epoch = 1
    callback.on_epoch_end(0)
    line = file.getvalue().splitlines()[-1]
    assert line.startswith("epoch 1/2  loss 0.2500  validation recall@20 0.1250 *")
    assert "1,234 positives/s  80.0 s + 2.0 s  0:00:51 left" in line  # 100 · 50/99 s
    callback.close()
    assert "\x1b" not in file.getvalue()


def test_a_terminal_gets_one_bar_after_a_resume_too(shown, clock):
    callback, state, file = shown(terminal=True)
    callback.on_train_begin()
    _step(callback, state, clock, 1, 3.0)
    _step(callback, state, clock, 2, 1.0)
    callback.on_train_begin()  # `fit` is called once more
    _step(callback, state, clock, 3, 1.0)
    callback.close()
    assert len(callback._bar.tasks) == 1
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
    assert "loss 0.5000  50 positives/s  0:03:17 left" in text  # 197 steps of 1 s


def test_the_last_line_says_nothing_is_left(shown, clock):
    callback, state, file = shown(terminal=False)
    row = {"epoch": 2, "step": 200, "loss": 0.25, "positives_per_second": 9}
    state.history.append({**row, "seconds": 1.0, "validation_seconds": 0.0})
    state.finished = True
    callback.on_epoch_end(1)
    assert file.getvalue() == ("epoch 2/2  loss 0.2500  9 positives/s  1.0 s + 0.0 s\n")
    assert tf.is_tensor(callback.model.optimizer.iterations.read_value())
