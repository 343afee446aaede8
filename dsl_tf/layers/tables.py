"""User and item tables, dense or sparse: what a method hands to a backbone.

A backbone asks for the tables it needs and never learns whether they are
sparse, nor how a budget is shared.
"""

import abc
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf import streams
from dsl_tf.layers.embedding import SparseEmbedding


class UserItemTables(keras.layers.Layer, abc.ABC):
    """Embeddings of users and of items, of one width."""

    @abc.abstractmethod
    def users(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of users, int [...] -> [..., width]."""

    @abc.abstractmethod
    def items(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of items, int [...] -> [..., width]."""


class JointTables(UserItemTables):
    """One table E of N + M rows, users first (DSL eq. 1): one budget for all."""

    def __init__(
        self, table: keras.layers.Layer, num_users: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.num_users = num_users

    def users(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of users."""
        return self.table(rows)

    def items(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of items, which follow the users in the table."""
        return self.table(rows + self.num_users)


class SeparateTables(UserItemTables):
    """A table for users and one for items, each with a budget of its own."""

    def __init__(
        self,
        user_table: keras.layers.Layer,
        item_table: keras.layers.Layer,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.user_table = user_table
        self.item_table = item_table

    def users(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of users."""
        return self.user_table(rows)

    def items(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of items."""
        return self.item_table(rows)


def _apart(
    initializer: keras.initializers.Initializer, kind: str
) -> keras.initializers.Initializer:
    """An initialiser like the given one, with a stream of its own.

    Two tables drawn with one seed begin with equal rows: each user would start
    as a copy of an item.
    """
    config = initializer.get_config()
    if config.get("seed") is None:
        return initializer
    config["seed"] = streams.key(config["seed"], f"initial/{kind}")
    return initializer.from_config(config)


class TableFactory(abc.ABC):
    """Makes the tables of a backbone."""

    @abc.abstractmethod
    def user_item(
        self, width: int, name: str, initializer: keras.initializers.Initializer
    ) -> UserItemTables:
        """Tables of all users and items.

        Args:
          width: d, columns.
          name: the layer's name; it also seeds the masks.
          initializer: Keras initialiser of the weights.
        """


@dataclasses.dataclass(frozen=True)
class DenseTables(TableFactory):
    """Plain `keras.layers.Embedding` tables."""

    num_users: int
    num_items: int

    def user_item(
        self, width: int, name: str, initializer: keras.initializers.Initializer
    ) -> UserItemTables:
        """Two dense tables."""
        return SeparateTables(
            *(
                keras.layers.Embedding(
                    rows, width, _apart(initializer, kind), name=f"{name}_{kind}"
                )
                for kind, rows in (("user", self.num_users), ("item", self.num_items))
            ),
            name=name,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class SparseTables(TableFactory):
    """`SparseEmbedding` tables.

    Attributes:
      activity: int [num_users], training interactions of each user.
      popularity: int [num_items], training interactions of each item.
      sparsity: s, in [0, 1).
      storage: the name of the storage.
      joint: one budget for users and items (the paper's E), or one for each.
      seed: seeds the masks.
    """

    activity: np.ndarray
    popularity: np.ndarray
    sparsity: float
    storage: str
    joint: bool
    seed: int

    def user_item(
        self, width: int, name: str, initializer: keras.initializers.Initializer
    ) -> UserItemTables:
        """One sparse table of all rows, or two."""
        if self.joint:
            both = np.concatenate([self.activity, self.popularity])
            table = self._table(both, width, f"{name}_table", initializer)
            return JointTables(table, len(self.activity), name=name)
        return SeparateTables(
            self._table(
                self.activity, width, f"{name}_user", _apart(initializer, "user")
            ),
            self._table(
                self.popularity, width, f"{name}_item", _apart(initializer, "item")
            ),
            name=name,
        )

    def _table(
        self,
        use: np.ndarray,
        width: int,
        name: str,
        initializer: keras.initializers.Initializer,
    ) -> SparseEmbedding:
        return SparseEmbedding(
            len(use),
            width,
            self.sparsity,
            embeddings_initializer=initializer,
            popularity=use,
            storage=self.storage,
            seed=self.seed,
            name=name,
        )
