"""Recommenders that are small from the first training step to the phone.

Importing the package imports no TensorFlow; it makes sure that `tf.keras` will
be, or already is, Keras 2, which TensorFlow Recommenders requires.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS","1")

__version__ = "0.1.0"
