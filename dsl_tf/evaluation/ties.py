"""The one permutation of the items that breaks ties, here and on a phone."""

import math
from typing import TypeVar

import numpy as np
import tensorflow as tf

from dsl_tf import streams

#: What `TieOrder` computes on: int64 NumPy arrays or int64 tensors.
Numbers = TypeVar("Numbers", np.ndarray, tf.Tensor)

#: Range of the stride, as a share of the catalogue: around the golden section,
#: where positions that follow each other spread most evenly over the ids.
STRIDES = (0.60, 0.64)


class TieOrder:
    """A seeded permutation that is computed, so that no file has to store it.

    The item at position p is (stride · p + first) mod `num_items`, with a
    stride coprime to `num_items`. Neighbours in it are far apart in id: item
    ids often correlate with popularity, so ties broken by id would make a model
    of equal scores look like a recommender.

    Args:
      num_items: size of the catalogue, at least 1 and below 2**31.
      seed: the run's seed.
    """

    def __init__(self, num_items: int, seed: int) -> None:
        rng = streams.generator(seed, "ties")
        stride = int(rng.uniform(*STRIDES) * num_items)
        while math.gcd(stride, num_items) != 1:
            stride += 1
        self.num_items = num_items
        self.stride = stride
        self.first = int(rng.integers(num_items))
        self._inverse = pow(stride, -1, num_items)

    def items(self, positions: Numbers) -> Numbers:
        """The items at positions, int64 [...] in [0, num_items)."""
        return (positions * self.stride + self.first) % self.num_items

    def positions(self, items: Numbers) -> Numbers:
        """The positions of items, int64 [...]; inverts `items`."""
        items = items + (self.num_items - self.first)
        return items * self._inverse % self.num_items
