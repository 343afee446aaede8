"""The module behind a `.tflite` file: one user at a time, nobody's history in it."""

from collections.abc import Callable

import tensorflow as tf

from dsl_tf.export.encoder import HistoryEncoder
from dsl_tf.export.frozen import FrozenModel
from dsl_tf.export.hashed import StoredHashedRows
from dsl_tf.export.ranker import EXCLUDED, Ranker, minus_infinity, usable, within
from dsl_tf.export.tables import Table

#: Tables up to this width are scored `rows_at_once` rows at a time, wider ones by so
#: many weights: memory and rounding grow with them. At 40,000 x 601, 80 % sparse,
#: int8: 700 rows 105 ms and 24 MB, 74 rows 117 ms and 5 MB.
USUAL_WIDTH = 64


class DeviceModule(Ranker):
    """Ranks for one user, who brings the list of items already seen.

    Args:
      frozen: the model to serve.
      coding: of its tables, a name in `codings.CODINGS`.
      k: length of a ranking.
      layout: of the item table, where the score is an inner product: a name in
        `layouts.LAYOUTS`. Tables from which only rows are read stay small.
      with_users: False leaves out the user table and what needs it, for a
        device whose only user keeps a vector.
    """

    def __init__(
        self,
        frozen: FrozenModel,
        coding: str,
        k: int,
        layout: str = "small",
        with_users: bool = True,
    ) -> None:
        layout = layout if frozen.queries else "small"
        super().__init__(frozen, k)
        self.items: Table | StoredHashedRows = frozen.stored("items", coding, layout)
        self.user_width = frozen.users.shape[1]
        self.num_users = frozen.num_users
        self.users: Table | StoredHashedRows | None = None
        if with_users:
            self.users = frozen.stored("users", coding, "small")
        self.encoder: HistoryEncoder | None = None
        if frozen.encoder is not None:
            self.encoder = HistoryEncoder(frozen.encoder, coding)
        width = max(self.items.width, USUAL_WIDTH)
        rows_at_once = max(1, self.items.rows_at_once * USUAL_WIDTH // width)
        blocks = -(-self.num_items // rows_at_once)
        self.block = -(-self.num_items // blocks)

    @tf.function(autograph=False)
    def recommend(self, user_id: tf.Tensor, seen: tf.Tensor) -> dict[str, tf.Tensor]:
        """The k best items not in `seen`, for a user of the table.

        Args:
          user_id: int32 [1]; an id that does not exist ranks by popularity.
          seen: int32 [1, L] item ids; -1, repeated and unknown ids do no harm.

        Returns:
          `item_ids` int32 [1, k] and `scores` float32 [1, k].
        """
        assert self.users is not None
        known, safe = within(user_id, self.num_users)
        return self._rank(self.users.rows(safe), known, self._flags(seen))

    @tf.function(autograph=False)
    def recommend_vector(
        self, user_vector: tf.Tensor, seen: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The k best items not in `seen`, for a vector the device keeps.

        Args:
          user_vector: float32 [1, du]; zeros rank by popularity.
          seen: int32 [1, L] item ids, as in `recommend`.

        Returns:
          `item_ids` int32 [1, k] and `scores` float32 [1, k].
        """
        return self._rank(user_vector, tf.constant([True]), self._flags(seen))

    @tf.function(autograph=False)
    def from_history(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        """The k best items not in `history`, for the user whose history it is.

        Args:
          history: int32 [1, L] item ids; -1, repeated and unknown ids do no harm.
            A history without items ranks by popularity.

        Returns:
          `item_ids` int32 [1, k] and `scores` float32 [1, k].
        """
        assert self.encoder is not None
        flags = self._flags(history)
        positions = tf.where(tf.slice(flags, [0], [self.num_items]))
        positions = tf.cast(tf.reshape(positions, [-1]), tf.int32)
        vector = self.encoder.vector(positions)
        return self._rank(vector, tf.constant([True]), flags)

    @tf.function(autograph=False)
    def score(self, user_id: tf.Tensor, item_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """The score of one user with one item, as the SavedModel's `score`.

        Args:
          user_id: int32 [1].
          item_id: int32 [1].

        Returns:
          `score` float32 [1].
        """
        assert self.users is not None
        known, safe = within(user_id, self.num_users)
        exists, item = within(item_id, self.num_items)
        position = self.positions(item)
        user = self.users.rows(safe)
        scores = self.interaction(user, self.items.rows(position))[:, 0]
        scores = tf.where(usable(user, known), scores, self.popular(position))
        return {"score": minus_infinity(tf.where(exists, scores, EXCLUDED))}

    @tf.function(autograph=False)
    def item_vector(self, item_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """The stored vector of an item, to build a user's vector from.

        Args:
          item_id: int32 [1].

        Returns:
          `vector` float32 [1, di]; zeros for an id that does not exist.
        """
        exists, item = within(item_id, self.num_items)
        vector = self.items.rows(self.positions(item))
        return {"vector": tf.where(exists[:, None], vector, 0.0)}

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The concrete functions, by the name an app calls them."""
        seen = tf.TensorSpec([1, None], tf.int32, name="seen")
        vector = tf.TensorSpec([1, self.user_width], tf.float32, name="user_vector")
        user_id = tf.TensorSpec([1], tf.int32, name="user_id")
        item_id = tf.TensorSpec([1], tf.int32, name="item_id")
        history = tf.TensorSpec([1, None], tf.int32, name="history")
        functions = {
            "recommend_vector": self.recommend_vector.get_concrete_function(
                vector, seen
            ),
            "item_vector": self.item_vector.get_concrete_function(item_id),
        }
        if self.users is not None:
            functions["recommend"] = self.recommend.get_concrete_function(user_id, seen)
            functions["score"] = self.score.get_concrete_function(user_id, item_id)
        if self.encoder is not None:
            functions["from_history"] = self.from_history.get_concrete_function(history)
        return functions

    #: Nobody's history is in the file.
    history_bytes = 0

    @property
    def table_bytes(self) -> int:
        """Bytes of the tables as stored."""
        rows = self.encoder.items.nbytes if self.encoder else 0
        return self.items.nbytes + rows + (self.users.nbytes if self.users else 0)

    def _rank(
        self, vector: tf.Tensor, known: tf.Tensor, flags: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        unwanted = self._by_block(flags)

        def ranked(score: Callable[[tf.Tensor], tf.Tensor]) -> dict[str, tf.Tensor]:
            def wanted(first: tf.Tensor, begin: tf.Tensor) -> tf.Tensor:
                flags = tf.cast(tf.slice(unwanted, [begin], [self.block]), tf.float32)
                # A sum, as a choice costs more; it rounds to EXCLUDED.
                return score(first) + (EXCLUDED * flags)[None, :]

            return self.rank(wanted, 1, self.block)

        return tf.cond(
            usable(vector, known)[0],
            lambda: ranked(self._scores(vector)),
            lambda: ranked(lambda first: self.popular(self._here(first))[None, :]),
        )

    def _flags(self, seen: tf.Tensor) -> tf.Tensor:
        """Which positions are those of item ids int32 [1, L], bool [num_items + 1].

        To look up flags costs the same however long the list of seen items is.
        """
        exists, item = within(tf.reshape(seen, [-1]), self.num_items)
        positions = tf.where(exists, self.positions(item), self.num_items)
        # A flag more for ids that do not exist; its own keeps the list from
        # being empty.
        positions = tf.concat([positions, [self.num_items]], 0)
        marks = tf.ones_like(positions, tf.bool)
        return tf.scatter_nd(positions[:, None], marks, [self.num_items + 1])

    def _by_block(self, flags: tf.Tensor) -> tf.Tensor:
        """Which items of each block must not be ranked, bool [blocks * block]."""
        # The last block begins with items of the one before.
        repeated = -self.num_items % self.block
        last = self.num_items + repeated - self.block
        before = tf.slice(flags, [0], [last])
        after = tf.slice(flags, [last], [self.num_items - last])
        return tf.concat([before, tf.ones([repeated], tf.bool), after], 0)

    def _scores(self, vector: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function of a block's first position to its scores [1, block]."""
        if self.queries:
            return self.items.dot(self.queries(vector), self.block)
        return lambda first: self.interaction(
            vector, self.items.rows(self._here(first))
        )

    def _here(self, first: tf.Tensor) -> tf.Tensor:
        return first + tf.range(self.block)
