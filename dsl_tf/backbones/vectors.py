"""Read the vectors of all users or items without having them all at once."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from dsl_tf.backbones.base import Backbone

#: Weights read at once: 16 MiB as float32.
WEIGHTS_AT_ONCE = 1 << 22


def user_blocks(backbone: Backbone) -> Iterator[np.ndarray]:
    """The vectors of all users in blocks of rows, float32 [n, du]."""
    return _blocks(
        lambda rows: backbone.user_vectors({"user_id": rows}),
        np.arange(backbone.num_users, dtype=np.int64),
    )


def item_blocks(backbone: Backbone, items: np.ndarray) -> Iterator[np.ndarray]:
    """The vectors of items, int64 [m], in blocks of rows, float32 [n, di]."""
    return _blocks(backbone.item_vectors, items)


def _blocks(
    vectors: Callable[[tf.Tensor], tf.Tensor], rows: np.ndarray
) -> Iterator[np.ndarray]:
    width = vectors(tf.constant(rows[:1])).shape[1]
    step = max(1, WEIGHTS_AT_ONCE // width)
    for start in range(0, len(rows), step):
        yield vectors(tf.constant(rows[start : start + step])).numpy()
