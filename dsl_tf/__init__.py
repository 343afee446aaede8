"""Recommenders that are small from the first training step to the phone.

Importing the package imports no TensorFlow; it makes sure that `tf.keras` will
be, or already is, Keras 2, which TensorFlow Recommenders requires. The public
names are imported when they are first used.
"""

import importlib
from typing import Any

from dsl_tf import environment

environment.check()

__version__ = "0.1.0"

#: Public name to the module that defines it.
_HOMES = {
    "Backbone": "dsl_tf.backbones.base",
    "DynamicSparseTraining": "dsl_tf.callbacks",
    "ExchangeRecord": "dsl_tf.types",
    "Interactions": "dsl_tf.types",
    "LazyAdam": "dsl_tf.optimizers",
    "RankingResult": "dsl_tf.types",
    "SparseDense": "dsl_tf.layers.dense",
    "SparseEmbedding": "dsl_tf.layers.embedding",
    "Split": "dsl_tf.types",
    "UserError": "dsl_tf.errors",
    "convert": "dsl_tf.layers.conversion",
    "load_model": "dsl_tf.layers.saving",
    "load_split": "dsl_tf.data",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
