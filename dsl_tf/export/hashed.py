"""Rows that an exported graph makes of two small tables, as it was trained.

Where rows are compositions of a quotient's and a remainder's row, to store them in full
would undo what the method is for.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.backbones.base import Backbone
from dsl_tf.evaluation.ties import TieOrder
from dsl_tf.export.codings import nbytes
from dsl_tf.export.layouts import store
from dsl_tf.export.tables import DenseTable
from dsl_tf.layers.hashed import QuotientRemainderEmbedding
from dsl_tf.layers.tables import UserItemTables


@dataclasses.dataclass(frozen=True, eq=False)
class HashedRows:
    """Vectors that are rows of quotient-remainder tables, side by side.

    Attributes:
      tables: each table, and which of its rows is that of number 0.
      numbers: from what is asked for, int64 [n], to the numbers of rows.
      store: makes what is stored of a table; the same of the same table.
      counted: whether the bytes are these vectors', not those of others that are rows
        of the same tables.
    """

    tables: Sequence[tuple[QuotientRemainderEmbedding, int]]
    numbers: Callable[[tf.Tensor], tf.Tensor]
    store: "Callable[[QuotientRemainderEmbedding, str], _Stored]"
    counted: bool

    def stored(self, coding: str) -> "StoredHashedRows":
        """As an exported graph has them, in a coding of `codings.CODINGS`."""
        parts = [(self.store(table, coding), first) for table, first in self.tables]
        return StoredHashedRows(parts, self.numbers, self.counted)


class _Stored(tf.Module):
    """The two tables that rows are made of."""

    def __init__(self, table: QuotientRemainderEmbedding, coding: str) -> None:
        super().__init__()
        self.quotient, self.remainder = (
            store(scipy.sparse.csr_matrix(weight.numpy()), coding, "small")
            for weight in (table.quotient, table.remainder)
        )
        self.buckets = table.buckets
        self._compose = table.compose

    def rows(self, numbers: tf.Tensor) -> tf.Tensor:
        """Rows of the numbers int32 [n], float32 [n, width]."""
        return self._compose(
            self.quotient.rows(numbers // self.buckets),
            self.remainder.rows(numbers % self.buckets),
        )


class StoredHashedRows(tf.Module):
    """`HashedRows`, read as a `tables.Table` is.

    Args:
      parts: what rows are made of, and which of them is that of number 0.
      numbers: see `HashedRows`.
      counted: see there.
    """

    rows_at_once = DenseTable.rows_at_once

    def __init__(
        self,
        parts: Sequence[tuple[_Stored, int]],
        numbers: Callable[[tf.Tensor], tf.Tensor],
        counted: bool,
    ) -> None:
        super().__init__()
        self.parts = [part for part, _ in parts]
        self._first = [first for _, first in parts]
        self._numbers = numbers
        self._counted = counted
        self.width = sum(part.quotient.width for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Bytes of the tables that rows are made of, unless counted elsewhere."""
        return self._counted * sum(nbytes(variable) for variable in self.variables)

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        """The rows of valid ids: int [n] to float32 [n, width]."""
        # TFLite divides int32 only.
        numbers = tf.cast(self._numbers(tf.cast(ids, tf.int64)), tf.int32)
        parts = zip(self.parts, self._first, strict=True)
        return tf.concat([part.rows(numbers + first) for part, first in parts], 1)

    def dot(self, vector: tf.Tensor, count: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """Inner products of a vector with consecutive rows; see `tables.Table.dot`."""

        def scores(begin: tf.Tensor) -> tf.Tensor:
            rows = self.rows(begin + tf.range(count))
            return tf.matmul(vector, rows, transpose_b=True)

        return scores


def hashed_rows(backbone: Backbone, order: TieOrder) -> dict[str, HashedRows]:
    """How vectors of `"users"` and of `"items"`, by position, are made.

    Returns:
      Nothing for a backbone whose vectors are not rows of quotient-remainder tables.
    """
    parts = backbone.submodules
    tables = [part for part in parts if isinstance(part, UserItemTables)]
    found = {
        kind: [table.place(kind) for table in tables] for kind in ("users", "items")
    }
    every = [table for places in found.values() for table, _ in places]
    if not every or not all(
        isinstance(table, QuotientRemainderEmbedding) for table in every
    ):
        return {}
    items = np.arange(backbone.num_items)
    rows = [table(first + items) for table, first in found["items"]]
    whole = np.concatenate(rows, axis=1)
    if not np.array_equal(whole, backbone.item_vectors()):  # such as propagated ones
        return {}
    stored = functools.cache(_Stored)
    joint = {table for table, _ in found["users"]} == {t for t, _ in found["items"]}
    return {
        "users": HashedRows(found["users"], lambda ids: ids, stored, not joint),
        "items": HashedRows(found["items"], order.items, stored, True),
    }
