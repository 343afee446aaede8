"""Tables whose rows have one of several sizes and can grow (ESAPN, Liu et al. 2020)."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.layers.sized import (
    SizedEmbedding,
    SizedTables,
    candidate_sizes,
    popularity_buckets,
)


class ChosenEmbedding(SizedEmbedding):
    """e_i = E_k[i] G_k G_{k+1} … with k the size chosen for row i.

    Each G_k maps a size to the next one, the last of them to d. A row that grows takes
    E_k[i] G_k as its larger embedding, so the row that is made of it stays the same,
    and from then on has more of its own to learn. Two rows of a step may have
    different sizes: each is made from its own table only, and gradients reach no
    other. All tables are as long as if every row had their size; `compact` ones hold
    the rows alone that chose it, and cannot grow.

    Args:
      input_dim: n, rows.
      output_dim: d, their width.
      sizes: d_k.
      embeddings_initializer: of each E_k.
      buckets: int [n], from 0.
      chosen: int [n], k of each row at first; None: the smallest.
      compact: see above.
      **kwargs: as for `SizedEmbedding`.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        sizes: Sequence[int],
        embeddings_initializer: keras.initializers.Initializer,
        buckets: np.ndarray,
        chosen: np.ndarray | None = None,
        compact: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim, output_dim, sizes, embeddings_initializer, buckets, **kwargs
        )
        self._first = np.zeros(input_dim, int) if chosen is None else chosen
        self._compact = compact

    def build(self, input_shape: Any = None) -> None:
        """Create the candidates, the maps between them, and the choice."""
        rows = [self.input_dim] * len(self.sizes)
        if self._compact:
            rows = [int((self._first == k).sum()) for k in range(len(self.sizes))]
        self.candidates = self._add_candidates(rows)
        ends = [*self.sizes]
        if ends[-1] < self.output_dim:
            ends.append(self.output_dim)
        self.maps = [
            self.add_weight(
                name=f"map_{small}",
                shape=(small, large),
                # Rows of every size begin with the norm of a dense one.
                initializer=keras.initializers.Orthogonal(
                    (large / small) ** 0.5, self._key(f"map_{small}")
                ),
            )
            for small, large in itertools.pairwise(ends)
        ]
        self.chosen = self._add_index("chosen", self._first, tf.uint8)
        self.place = None
        if self._compact:
            place = np.zeros(self.input_dim, np.int32)
            for k, count in enumerate(rows):
                place[self._first == k] = np.arange(count)
            self.place = self._add_index("place", place, tf.int32)
        super().build(input_shape)

    def _add_index(self, name: str, value: np.ndarray, dtype: tf.DType) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=value.shape,
            dtype=dtype,
            initializer=keras.initializers.Constant(value),
            trainable=False,
        )

    def make(self, rows: tf.Tensor) -> tf.Tensor:
        """See `SizedEmbedding.make`."""
        count = len(self.sizes)
        size = tf.cast(tf.gather(self.chosen, rows), tf.int32)
        place = rows if self.place is None else tf.gather(self.place, rows)
        back = tf.dynamic_partition(tf.range(tf.size(rows)), size, count)
        made = [
            _mapped(tf.gather(table, part), map_)
            for table, part, map_ in zip(
                self.candidates,
                tf.dynamic_partition(place, size, count),
                self._to_width(),
                strict=True,
            )
        ]
        return tf.ensure_shape(
            tf.dynamic_stitch(back, made), [*rows.shape, self.output_dim]
        )

    def _to_width(self) -> list[tf.Tensor | None]:
        """For each size the map to d, [d_k, d]; None: it is d."""
        maps: list[tf.Tensor | None] = []
        if self.sizes[-1] == self.output_dim:
            maps.append(None)
        for map_ in reversed(self.maps):
            onward = maps[-1] if maps else None
            maps.append(_mapped(tf.convert_to_tensor(map_), onward))
        return maps[::-1]

    def size_of(self, rows: np.ndarray | None = None) -> np.ndarray:
        """k, the place of their sizes in `sizes`, int64 [m] of rows or of all."""
        chosen = self.chosen.numpy().astype(np.int64)
        return chosen if rows is None else chosen[rows]

    def taken(self) -> int:
        """Σ of the sizes of all rows."""
        return int(np.array(self.sizes)[self.size_of()].sum())

    def grow(self, rows: np.ndarray) -> None:
        """Give rows the next larger size.

        Args:
          rows: int [m], distinct.

        Raises:
          UserError: one has the largest size already, or the table is compact.
        """
        sizes = self.size_of()
        if self._compact or np.any(sizes[rows] == len(self.sizes) - 1):
            raise UserError(
                "Rows that grow must have a size below the largest, in a table that is "
                f"not compact. Received: sizes {sorted(set(sizes[rows].tolist()))} of "
                f"{len(self.sizes)}, compact={self._compact}."
            )
        for k in range(len(self.sizes) - 1):
            growing = rows[sizes[rows] == k]
            larger = tf.matmul(tf.gather(self.candidates[k], growing), self.maps[k])
            self.candidates[k + 1].scatter_update(tf.IndexedSlices(larger, growing))
        sizes[rows] += 1
        self.chosen.assign(sizes.astype(np.uint8))

    def used(self) -> list[np.ndarray]:
        """What its rows are made of: for each size its rows, then the maps."""
        tables = [
            table.numpy()[self.size_of() == k]
            for k, table in enumerate(self.candidates)
        ]
        return [*tables, *(map_.numpy() for map_ in self.maps)]

    def set_used(self, values: list[np.ndarray]) -> None:
        """Make the rows of a compact table of what `used` returned."""
        for variable, value in zip([*self.candidates, *self.maps], values, strict=True):
            variable.assign(value)

    def row_macs(self) -> float:
        """Of the maps, by the sizes that rows have now."""
        sizes = np.array(self.sizes)[self.size_of()]
        mapped = np.where(sizes < self.output_dim, sizes, 0)
        return float(mapped.mean() * self.output_dim)


@dataclasses.dataclass(frozen=True, eq=False)
class ChosenTables(SizedTables):
    """`ChosenEmbedding` tables.

    Attributes:
      chosen: the sizes of the tables' rows, one table after the other in the order in
        which they are asked for; None: the smallest.
      compact: see there.
    """

    chosen: Iterator[np.ndarray] | None = None
    compact: bool = False

    def _table(
        self,
        kind: str,
        width: int,
        name: str,
        initializer: keras.initializers.Initializer,
    ) -> ChosenEmbedding:
        return ChosenEmbedding(
            self._rows(kind),
            width,
            candidate_sizes(width, self.fractions),
            initializer,
            popularity_buckets(*self._use(kind)),
            chosen=None if self.chosen is None else next(self.chosen),
            compact=self.compact,
            kind=kind,
            name=name,
        )


def _mapped(rows: tf.Tensor, map_: tf.Tensor | None) -> tf.Tensor:
    return rows if map_ is None else tf.matmul(rows, map_)
