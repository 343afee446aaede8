"""What all tests share. `dsl_tf` comes first: it decides which Keras loads."""

import os
import pathlib
import sys

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dsl_tf  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def _op_determinism():
    """As in a run. Tests that need no TensorFlow do not pay for its import."""
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


@pytest.fixture(autouse=True)
def _seeded():
    """Op determinism refuses random ops without a seed."""
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        tf.random.set_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def data_root() -> pathlib.Path:
    """The folder of the real data sets; skips the test where there is none."""
    folder = os.environ.get("DSL_TF_DATA")
    if not folder:
        pytest.skip("DSL_TF_DATA is unset")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def small_split():
    """The demo's recipe on a small scale: 400 users, 400 items."""
    from dsl_tf import config_files
    from dsl_tf.data import splits
    from dsl_tf.data.datasets import demo
    from dsl_tf.data.loading import filtered

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "NUM_USERS", 400)
        patch.setattr(demo, "NUM_ITEMS", 400)
        dataset = filtered(demo.load(), 0.0, 0)
    config = config_files.load(config_files.find("base.py"))
    return splits.split_dataset(dataset, config.data)


@pytest.fixture
def small_config():
    """A config under which a run on `small_split` takes seconds."""
    from dsl_tf import config_files

    config = config_files.load(config_files.find("mf.py"), "own")
    config.model.embedding_dim = 16
    config.sparsity.update_interval = 10
    config.train.update(epochs=2, batch_size=512, negatives=16, checkpoint_minutes=1e9)
    config.export.formats = ("saved_model",)
    return config


@pytest.fixture
def small_neumf():
    """The same of NeuMF, which has a network; its step is traced in twice the time."""
    from dsl_tf import config_files

    config = config_files.load(config_files.find("neumf.py"), "own")
    config.model.update(gmf_dim=8, mlp_dim=8, mlp_layers=(16, 8))
    config.sparsity.update_interval = 10
    config.train.update(epochs=3, batch_size=256, learning_rate=0.01)
    config.export.formats = ("saved_model",)
    return config


@pytest.fixture(scope="session")
def small_csv(small_split, tmp_path_factory) -> pathlib.Path:
    """All interactions of `small_split` as a user's file."""
    import pandas as pd

    parts = (small_split.train, small_split.validation, small_split.test)
    users = np.concatenate([part.users for part in parts])
    items = np.concatenate([part.items for part in parts])
    frame = pd.DataFrame(
        {"user": small_split.user_ids[users], "item": small_split.item_ids[items]}
    )
    path = tmp_path_factory.mktemp("data") / "small.csv"
    frame.to_csv(path, index=False)
    return path
