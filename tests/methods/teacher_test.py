import pytest
import rich.console

from dsl_tf import config_files
from dsl_tf.errors import UserError
from dsl_tf.methods import _training, base, rkd


def test_an_autoencoder_is_refused_before_its_training(
    small_split, tmp_path, monkeypatch
):
    config = config_files.load(config_files.find("cdae.py"), "own")
    config.method.name = "rkd"
    monkeypatch.delattr(_training, "fit")
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    with pytest.raises(UserError, match="rkd needs a backbone that scores pairs"):
        base.train(task, config, rkd.train)
