"""Tables with candidate sizes for every row: what mixing and choosing them share.

AutoEmb mixes a row's candidates (`dsl_tf.layers.mixed_sizes`), ESAPN chooses one of
them (`dsl_tf.layers.chosen_sizes`). Both decide by how often a row is used. All
candidates are held, so the tables take more memory than one of the full width.
"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf import streams
from dsl_tf.errors import UserError
from dsl_tf.layers.tables import TableFactory

#: Rows are in one bucket while their counts differ by less than half an octave.
_BUCKETS_PER_OCTAVE = 2


def candidate_sizes(width: int, fractions: Sequence[float]) -> tuple[int, ...]:
    """The sizes that a row of a table can have, ascending, each once.

    Args:
      width: d, of what is made of them.
      fractions: of d, rounded down, but to no less than 1.

    Raises:
      UserError: there are none, or one is not in (0, 1].
    """
    if not fractions or not all(0 < each <= 1 for each in fractions):
        raise UserError(
            "`sizes` must be one or more fractions of the width, in (0, 1]. Received: "
            f"{tuple(fractions)}."
        )
    # A product such as 10 * .7 may end just below a whole number.
    return tuple(sorted({max(1, int(width * each + 1e-9)) for each in fractions}))


def popularity_buckets(*counts: np.ndarray) -> np.ndarray:
    """A bucket for each row, shared by rows of one kind that are used about as often.

    Args:
      *counts: int [n] each, training interactions of the rows of one kind.

    Returns:
      int32 [Σ n]: buckets from 0 on, none of them empty.
    """
    octaves = [np.floor(_BUCKETS_PER_OCTAVE * np.log2(1 + each)) for each in counts]
    kinds = np.repeat(np.arange(len(counts)), [len(each) for each in counts])
    pairs = np.stack([kinds, np.concatenate(octaves).astype(np.int64)])
    _, found = np.unique(pairs, axis=1, return_inverse=True)
    return found.reshape(-1).astype(np.int32)


class CategoryNetwork(keras.layers.Layer):
    """logits = tanh(Σ_j E_j[c_j]) A + a, of categories c_j.

    The first layer of a network on one-hot inputs is a look-up. A is zero at first:
    the network begins with `bias`, the same for all categories.

    Args:
      categories: how many each input has.
      hidden: units of the hidden layer.
      bias: a at first, one for each output.
      seed: seeds the initial weights, together with the layer's name.
      **kwargs: as for `keras.layers.Layer`.
    """

    def __init__(
        self,
        categories: Sequence[int],
        hidden: int,
        bias: Sequence[float],
        seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.embeddings = [
            self.add_weight(
                name=f"embedding_{j}",
                shape=(count, hidden),
                initializer=keras.initializers.GlorotUniform(
                    streams.key(seed, f"initial/{self.name}/embedding_{j}")
                ),
            )
            for j, count in enumerate(categories)
        ]
        self.kernel = self.add_weight(
            name="kernel", shape=(hidden, len(bias)), initializer="zeros"
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(len(bias),),
            initializer=keras.initializers.Constant(list(bias)),
        )

    def call(self, categories: Sequence[tf.Tensor]) -> tf.Tensor:
        """Logits, float32 [m, outputs] of an int [m] for each input."""
        looked_up = [
            tf.gather(table, rows)
            for table, rows in zip(self.embeddings, categories, strict=True)
        ]
        return tf.matmul(tf.tanh(tf.add_n(looked_up)), self.kernel) + self.bias

    def macs(self) -> int:
        """Multiply-accumulates for one example."""
        return int(self.kernel.shape.num_elements())


class SizedEmbedding(keras.layers.Layer, abc.ABC):
    """An embedding whose rows are made of candidates of several sizes.

    Args:
      input_dim: n, rows.
      output_dim: d, their width.
      sizes: of the candidates, ascending, at most d.
      embeddings_initializer: of each candidate, each with a stream of its own.
      buckets: int [n], the popularity bucket of each row.
      kind: whose rows they are, `"users"`, `"items"` or `"both"`.
      **kwargs: as for `keras.layers.Layer`.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        sizes: Sequence[int],
        embeddings_initializer: keras.initializers.Initializer,
        buckets: np.ndarray,
        kind: str = "both",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.input_dim, self.output_dim = input_dim, output_dim
        self.sizes = tuple(sizes)
        self.kind = kind
        self.buckets = buckets
        self._initializer = embeddings_initializer

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """Look up rows, int [...] -> float32 [..., d]; each is made once."""
        rows = tf.convert_to_tensor(rows)
        distinct, index = tf.unique(tf.reshape(rows, [-1]))
        shape = tf.concat([tf.shape(rows), [self.output_dim]], axis=0)
        made = tf.reshape(tf.gather(self.make(distinct), index), shape)
        return tf.ensure_shape(made, [*rows.shape, self.output_dim])

    @abc.abstractmethod
    def make(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows of their candidates, int [m] -> float32 [m, d]."""

    @abc.abstractmethod
    def row_macs(self) -> float:
        """Multiply-accumulates that it takes to make a row, on average."""

    def whole(self) -> tf.Tensor:
        """All rows as they are made, [n, d]."""
        if not self.built:
            self(tf.zeros([1], tf.int32))
        return self.make(tf.range(self.input_dim))

    def products(self, inputs: tf.Tensor) -> tf.Tensor:
        """Inner products with all rows: [B, d] -> [B, n]."""
        return tf.matmul(inputs, self.whole(), transpose_b=True)

    def _add_candidates(self, rows: Sequence[int]) -> list[tf.Variable]:
        """A table for each size, with so many rows."""
        config = self._initializer.get_config()
        tables = []
        for count, size in zip(rows, self.sizes, strict=True):
            initializer = self._initializer
            if config.get("seed") is not None:
                own = {**config, "seed": self._key(f"size_{size}")}
                initializer = initializer.from_config(own)
            tables.append(
                self.add_weight(
                    name=f"size_{size}", shape=(count, size), initializer=initializer
                )
            )
        return tables

    def _key(self, stream: str) -> int:
        """A seed of this table for what is initialised beside its rows."""
        seed = self._initializer.get_config().get("seed") or 0
        return streams.key(seed, f"initial/{stream}")


@dataclasses.dataclass(frozen=True, eq=False)
class SizedTables(TableFactory):
    """Makes `SizedEmbedding` tables.

    Attributes:
      activity: int [num_users], training interactions of each user.
      popularity: int [num_items], training interactions of each item.
      joint: one table for users and items, or one for each.
      fractions: of a table's width, the candidate sizes.
    """

    activity: np.ndarray
    popularity: np.ndarray
    joint: bool
    fractions: Sequence[float]

    def _rows(self, kind: str) -> int:
        return sum(len(each) for each in self._use(kind))

    def _use(self, kind: str) -> list[np.ndarray]:
        return {
            "users": [self.activity],
            "items": [self.popularity],
            "both": [self.activity, self.popularity],
        }[kind]
