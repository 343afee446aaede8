"""Recommenders that are small from the first training step to the phone.

Importing the package imports no TensorFlow; it makes sure that `tf.keras` will
be, or already is, Keras 2, which TensorFlow Recommenders requires.
"""

from dsl_tf import environment

environment.check()

__version__ = "0.1.0"
