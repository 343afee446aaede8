"""Saved models that have layers or optimisers of this package."""

from typing import Any

import tf_keras as keras

# Keras finds classes by the names that they register when they are imported.
from dsl_tf.layers import dense, embedding  # noqa: F401
from dsl_tf.optimizers import LazyAdam  # noqa: F401


def load_model(path: Any, **kwargs: Any) -> keras.Model:
    """`keras.models.load_model` of a model that was saved with layers of `dsl_tf`.

    In a process that has not used these layers Keras does not know them: it refuses a
    `.keras` or `.h5` file, and makes of a SavedModel layers of no class, which
    `DynamicSparseTraining` cannot move.

    Args:
      path: a `.keras` or `.h5` file, or the folder of a SavedModel.
      **kwargs: as for `keras.models.load_model`.

    Returns:
      The model.
    """
    return keras.models.load_model(path, **kwargs)
