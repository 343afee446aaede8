"""Interactions: from a named data set or the user's own file to a `Split`."""

from dsl_tf.data.loading import load_split

__all__ = ["load_split"]
