"""The module behind a `.tflite` file: one user at a time, no histories."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dsl_tf.export.frozen import FrozenModel
from dsl_tf.export.ranker import EXCLUDED, Ranker, minus_infinity, usable, within
from dsl_tf.export.tables import Table

#: Items scored at once at most. Tensors of a TFLite loop live on the heap, so
#: memory grows with it. At 100,000 items x 64 on one thread, 250 to 1,000 take
#: the same time within the noise, 1.7 to 2.6 MB (fp16: 1.7 to 4.3).
LARGEST_BLOCK = 500


class DeviceModule(Ranker):
    """Ranks for one user, who brings the list of items already seen.

    Args:
      frozen: the model to serve.
      store: how its tables are stored; float32 [rows, width] to a `Table`.
      k: length of a ranking.
      with_users: False leaves out the user table and what needs it, for a
        device whose only user keeps a vector.
    """

    def __init__(
        self,
        frozen: FrozenModel,
        store: Callable[[np.ndarray], Table],
        k: int,
        with_users: bool = True,
    ):
        super().__init__(frozen, store(frozen.items), k)
        self.user_width = frozen.users.shape[1]
        self.num_users = frozen.num_users
        self.users = store(frozen.users) if with_users else None
        blocks = -(-self.num_items // LARGEST_BLOCK)
        self.block = -(-self.num_items // blocks)

    @tf.function
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
        return self._rank(self.users.rows(safe), known, seen)

    @tf.function
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
        return self._rank(user_vector, tf.constant([True]), seen)

    @tf.function
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
        # A search costs no bytes, an inverse of `order` would cost four a row.
        found = tf.equal(self.order, tf.cast(item, self.order.dtype))
        position = tf.argmax(tf.cast(found, tf.int32), output_type=tf.int32)[None]
        user = self.users.rows(safe)
        scores = self.interaction(user, self.items.rows(position))[:, 0]
        popular = tf.cast(tf.gather(self.popularity, position), tf.float32)
        scores = tf.where(usable(user, known), scores, popular)
        return {"score": minus_infinity(tf.where(exists, scores, EXCLUDED))}

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The concrete functions, by the name an app calls them."""
        seen = tf.TensorSpec([1, None], tf.int32, name="seen")
        vector = tf.TensorSpec([1, self.user_width], tf.float32, name="user_vector")
        functions = {
            "recommend_vector": self.recommend_vector.get_concrete_function(
                vector, seen
            )
        }
        if self.users is not None:
            user_id = tf.TensorSpec([1], tf.int32, name="user_id")
            item_id = tf.TensorSpec([1], tf.int32, name="item_id")
            functions["recommend"] = self.recommend.get_concrete_function(user_id, seen)
            functions["score"] = self.score.get_concrete_function(user_id, item_id)
        return functions

    @property
    def table_bytes(self) -> int:
        """Bytes of the tables as stored."""
        return self.items.nbytes + (self.users.nbytes if self.users else 0)

    def _rank(
        self, vector: tf.Tensor, known: tf.Tensor, seen: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        # One flag an item, by id, the last for ids that do not exist. A look-up
        # of flags costs the same however long the list is: 0 and 5,000 seen of
        # 100,000 take the same time. The added id keeps it from being empty.
        seen = tf.reshape(seen, [-1])
        exists, _ = within(seen, self.num_items)
        seen = tf.concat([tf.where(exists, seen, self.num_items), [self.num_items]], 0)
        flags = tf.scatter_nd(
            seen[:, None], tf.ones_like(seen, tf.bool), [self.num_items + 1]
        )

        def exclude(scores: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
            item_ids = tf.cast(tf.gather(self.order, positions), tf.int32)
            return tf.where(tf.gather(flags, item_ids)[None, :], EXCLUDED, scores)

        return self.rank(vector, known, exclude, self.block)
