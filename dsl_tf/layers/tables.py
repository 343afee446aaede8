"""User and item tables, dense or sparse: what a method hands to a backbone.

A backbone asks for the tables it needs and never learns whether they are sparse, nor
how a budget is shared. They are `Tables`, by which costs and figures find them.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.layers.embedding import SparseEmbedding, expansion_of
from dsl_tf.sparsity.initialization import GivenMask, QuotaMask
from dsl_tf.storage import expansion
from dsl_tf.storage.initial import apart

#: Maps row numbers int [...] to embeddings [..., width].
LookUp = Callable[[tf.Tensor], tf.Tensor]

#: A table's name, whose rows it has and its width, to what draws its mask, or None for
#: a random one. The table gets the sparsity of its mask.
MaskSource = Callable[[str, str, int], GivenMask | QuotaMask | None]


class Tables(keras.layers.Layer, abc.ABC):
    """Embeddings of users, of items, or of both."""

    @abc.abstractmethod
    def look_ups(self) -> Mapping[str, LookUp]:
        """How rows are read, by whose they are: `"users"`, `"items"` or both."""

    def square_sum(self) -> tf.Tensor:
        """Sum of the squares of the embeddings stored; no dense form is made."""
        tables = self._flatten_layers(recursive=False, include_self=False)
        each = [getattr(t, "regularized", t.trainable_variables) for t in tables]
        return tf.add_n([2 * tf.nn.l2_loss(w) for weights in each for w in weights])


class OneTable(Tables):
    """A table of users or of items alone, such as an autoencoder's matrices.

    Args:
      table: a dense or a sparse embedding.
      kind: `"users"` or `"items"`.
    """

    def __init__(self, table: keras.layers.Layer, kind: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table, self._kind = table, kind

    def look_ups(self) -> Mapping[str, LookUp]:
        """The table itself."""
        return {self._kind: self.table}

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings, int [...] -> [..., width]."""
        return self.table(rows)

    def products(self, inputs: tf.Tensor) -> tf.Tensor:
        """Inner products with all rows, [B, width] -> [B, rows]."""
        return self.table.products(inputs)


class UserItemTables(Tables):
    """Embeddings of users and of items, of one width."""

    def look_ups(self) -> Mapping[str, LookUp]:
        """Of users and of items."""
        return {"users": self.users, "items": self.items}

    def users(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of users, int [...] -> [..., width]."""
        table, first = self.place("users")
        return table(rows + first)

    def items(self, rows: tf.Tensor) -> tf.Tensor:
        """Embeddings of items, int [...] -> [..., width]."""
        table, first = self.place("items")
        return table(rows + first)

    @abc.abstractmethod
    def place(self, kind: str) -> tuple[keras.layers.Layer, int]:
        """The layer with the rows of `"users"` or `"items"`, and their first row."""

    @abc.abstractmethod
    def whole(self) -> tf.Tensor:
        """All embeddings in their dense form, users first, [N + M, width].

        The layer must have looked up rows before.
        """

    def through(self, function: expansion.DenseFunction) -> tuple[tf.Tensor, ...]:
        """A function of `whole`, of whose gradient what is sparse sees blocks only."""
        return expansion.through(self._expansions(), function)

    def _expansions(self) -> list[expansion.Expansion]:
        """Of the tables that make up `whole`."""
        return [expansion.of_tensor(self.whole())]


class JointTables(UserItemTables):
    """One table E of N + M rows, users first (DSL eq. 1): one budget for all."""

    def __init__(
        self, table: keras.layers.Layer, num_users: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.table, self.num_users = table, num_users

    def place(self, kind: str) -> tuple[keras.layers.Layer, int]:
        """The one table; items follow the users."""
        return self.table, {"users": 0, "items": self.num_users}[kind]

    def whole(self) -> tf.Tensor:
        """The table."""
        return self.table.whole()

    def _expansions(self) -> list[expansion.Expansion]:
        return [expansion_of(self.table)]


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

    def place(self, kind: str) -> tuple[keras.layers.Layer, int]:
        """A table of their own."""
        return {"users": self.user_table, "items": self.item_table}[kind], 0

    def whole(self) -> tf.Tensor:
        """Both tables."""
        return tf.concat([self.user_table.whole(), self.item_table.whole()], axis=0)

    def _expansions(self) -> list[expansion.Expansion]:
        return [expansion_of(self.user_table), expansion_of(self.item_table)]


class DenseEmbedding(keras.layers.Embedding):
    """Keras's layer, with the other uses that a sparse table has."""

    def whole(self) -> tf.Tensor:
        """The table, [input_dim, output_dim]."""
        return tf.convert_to_tensor(self.embeddings)

    def products(self, inputs: tf.Tensor) -> tf.Tensor:
        """Inner products with all rows: [B, output_dim] -> [B, input_dim]."""
        return tf.matmul(inputs, self.embeddings, transpose_b=True)


class TableFactory(abc.ABC):
    """Makes the tables of a backbone.

    Attributes:
      joint: one table for users and items (the paper's E), or one for each.
    """

    joint: bool

    def user_item(
        self, width: int, name: str, initializer: keras.initializers.Initializer
    ) -> UserItemTables:
        """Tables of all users and items.

        Args:
          width: d, columns.
          name: the layer's name; it also seeds the masks.
          initializer: Keras initialiser of the weights.
        """
        if self.joint:
            table = self._table("both", width, f"{name}_table", initializer)
            return JointTables(table, self._rows("users"), name=name)
        return SeparateTables(
            self._table("users", width, f"{name}_user", apart(initializer, "user")),
            self._table("items", width, f"{name}_item", apart(initializer, "item")),
            name=name,
        )

    def one(
        self,
        kind: str,
        width: int,
        name: str,
        initializer: keras.initializers.Initializer,
    ) -> OneTable:
        """A table with a budget of its own.

        Args:
          kind: `"users"` or `"items"`, whose rows they are.
          width: columns.
          name: the layer's name; it also seeds the mask.
          initializer: Keras initialiser of the weights.
        """
        table = self._table(kind, width, f"{name}_table", initializer)
        return OneTable(table, kind, name=name)

    @abc.abstractmethod
    def _rows(self, kind: str) -> int:
        """How many `"users"`, `"items"` or `"both"` there are."""

    @abc.abstractmethod
    def _table(
        self,
        kind: str,
        width: int,
        name: str,
        initializer: keras.initializers.Initializer,
    ) -> keras.layers.Layer:
        """The layer that holds the rows of `"users"`, `"items"` or `"both"`."""


@dataclasses.dataclass(frozen=True)
class DenseTables(TableFactory):
    """`keras.layers.Embedding` tables."""

    num_users: int
    num_items: int
    joint: bool = False

    def _rows(self, kind: str) -> int:
        users, items = self.num_users, self.num_items
        return {"users": users, "items": items, "both": users + items}[kind]

    def _table(
        self,
        kind: str,
        width: int,
        name: str,
        initializer: keras.initializers.Initializer,
    ) -> DenseEmbedding:
        return DenseEmbedding(self._rows(kind), width, initializer, name=name)


@dataclasses.dataclass(frozen=True, eq=False)
class SparseTables(TableFactory):
    """`SparseEmbedding` tables.

    Attributes:
      activity: int [num_users], training interactions of each user.
      popularity: int [num_items], training interactions of each item.
      sparsity: s, in [0, 1).
      storage: the name of the storage.
      joint: one budget for users and items, or one for each.
      seed: seeds the masks.
      masks: masks that are not random.
      rounding: `largest_code` and `step` of `SparseEmbedding`.
    """

    activity: np.ndarray
    popularity: np.ndarray
    sparsity: float
    storage: str
    joint: bool
    seed: int
    masks: MaskSource = lambda name, kind, width: None
    rounding: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def _rows(self, kind: str) -> int:
        return len(self.use(kind))

    def use(self, kind: str) -> np.ndarray:
        """Training interactions of each row of `"users"`, `"items"` or `"both"`."""
        return {
            "users": self.activity,
            "items": self.popularity,
            "both": np.concatenate([self.activity, self.popularity]),
        }[kind]

    def _table(
        self,
        kind: str,
        width: int,
        name: str,
        initializer: keras.initializers.Initializer,
    ) -> SparseEmbedding:
        given = self.masks(name, kind, width)
        return SparseEmbedding(
            self._rows(kind),
            width,
            self.sparsity if given is None else given.sparsity,
            embeddings_initializer=initializer,
            popularity=self.use(kind),
            storage=self.storage,
            seed=self.seed,
            mask_initializer=given,
            **self.rounding,
            name=name,
        )
