import pytest
import rich.console

from dsl_tf import config_files
from dsl_tf.methods import base
from dsl_tf.training import observers


@pytest.fixture
def task(small_split, tmp_path):
    return base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))


@pytest.fixture
def mf_config():
    """A config under which an MF trains on `small_split` in a second or two."""
    config = config_files.load(config_files.find("mf.py"), "own")
    config.model.embedding_dim = 16
    config.train.update(epochs=2, batch_size=512, negatives=16)
    config.train.checkpoint_minutes = 1e9
    return config


class _Killed(BaseException):
    """Stands for SIGKILL: nothing is written any more."""


@pytest.fixture
def interrupted(monkeypatch):
    """Trains, killed once after some steps and a checkpoint, and goes on."""
    original = observers.Checkpoints.on_train_batch_end

    def run(task, config, method, step):
        def on_train_batch_end(self, batch, logs=None):
            here = int(self.model.optimizer.iterations) == step
            self._seconds = 0.0 if here else 1e9
            original(self, batch, logs)
            if here:
                raise _Killed

        with monkeypatch.context() as patch:
            patch.setattr(
                observers.Checkpoints, "on_train_batch_end", on_train_batch_end
            )
            with pytest.raises(_Killed):
                base.train(task, config, method)
        return base.train(task, config, method)

    return run
