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
