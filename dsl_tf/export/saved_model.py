"""The SavedModel: recommendations for users known to the server, or by a history."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import tensorflow as tf

from dsl_tf import locks
from dsl_tf.export.codings import nbytes
from dsl_tf.export.console import quiet_tensorflow
from dsl_tf.export.encoder import EncodedUsers
from dsl_tf.export.frozen import FrozenModel
from dsl_tf.export.ranker import EXCLUDED, Ranker, minus_infinity, usable, within
from dsl_tf.export.tables import Rows
from dsl_tf.files import replacing

#: Pairs of `score` at once. ConvNCF has 128 KiB of activations a pair.
PAIRS_AT_ONCE = 2**10
#: User-item pairs scored at once. With 128 activations a pair, 128 MiB.
PAIRS_PER_BLOCK = 2**18
#: Weights of item rows that are built at once: 8 MiB, some of which are held while
#: they are unpacked. At 40,000 x 601, 80 % sparse, one user: 1.1 s, 200 MB less
#: memory than whole, which took 1.7 s.
WEIGHTS_PER_BLOCK = 2**21
#: Items scored at once at least, however many users are asked for.
SMALLEST_BLOCK = 64


class ServingModule(Ranker):
    """What the SavedModel holds; never the training model itself.

    Its tables are float32 in the layout of fewest bytes. Rows are built, in
    blocks: they serve all users of a batch. Where the model makes user vectors of
    histories, it is done at each request, and no table of users is held.

    Args:
      frozen: the model to serve.
      k: length of a ranking.
    """

    users: Rows
    #: Of its tables.
    LAYOUTS: ClassVar[Mapping[str, str]] = {"users": "small", "items": "small"}

    def __init__(self, frozen: FrozenModel, k: int):
        super().__init__(frozen, k)
        self.num_users, self.item_width = frozen.num_users, frozen.items.shape[1]
        self.history_offsets = tf.Variable(frozen.history_offsets, trainable=False)
        self.history = tf.Variable(frozen.history, trainable=False)
        self.encoded: EncodedUsers | None = None
        if frozen.encoder is not None:
            self.encoded = EncodedUsers(
                frozen.encoder, self.history_offsets, self.history
            )
        self.users, self.items = self._tables(frozen)

    def _tables(self, frozen: FrozenModel) -> tuple[Rows, Rows]:
        """What vectors of users and of items are read from."""
        return (
            self.encoded or frozen.stored("users", "float32", self.LAYOUTS["users"]),
            frozen.stored("items", "float32", self.LAYOUTS["items"]),
        )

    @tf.function(autograph=False)
    def recommend(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """The k best items that are new to each user.

        Args:
          user_id: int64 [B]; an id that does not exist ranks by popularity.

        Returns:
          `item_ids` int32 [B, k] and `scores` float32 [B, k].
        """
        known, safe = within(user_id, self.num_users)
        begin = tf.gather(self.history_offsets, safe)
        end = tf.where(known, tf.gather(self.history_offsets, safe + 1), begin)
        steps = tf.ragged.range(begin, end)
        seen = tf.gather(self.history, steps.values)
        owners = tf.cast(steps.value_rowids(), tf.int32)
        return self._rank(self.users.rows(safe), known, seen, owners)

    @tf.function(autograph=False)
    def from_history(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        """The k best items that are not in each history, for users never seen.

        Args:
          history: int32 [B, L] item ids; -1, repeated and unknown ids do no harm.
            A history without items ranks by popularity.

        Returns:
          `item_ids` int32 [B, k] and `scores` float32 [B, k].
        """
        assert self.encoded is not None
        count = tf.shape(history)[0]
        exists, _ = within(history, self.num_items)
        # Each pair once, by history, then item: the order that known users' have.
        row = tf.range(tf.cast(count, tf.int64))[:, None]
        pairs = row * self.num_items + tf.cast(history, tf.int64)
        pairs = tf.sort(tf.unique(tf.boolean_mask(pairs, exists))[0])
        seen = self.positions(pairs % self.num_items)
        owners = tf.cast(pairs // self.num_items, tf.int32)
        vectors = self.encoded.encoder.vectors(seen, owners, count)
        return self._rank(vectors, tf.fill([count], True), seen, owners)

    @tf.function(autograph=False)
    def score(self, user_id: tf.Tensor, item_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of pairs, histories not excluded.

        Args:
          user_id: int64 [B]; one that does not exist, or whose vector is all
            zero, scores by popularity, as in `recommend`.
          item_id: int64 [B]; one that does not exist scores -inf.

        Returns:
          `score` float32 [B].
        """
        known, safe = within(user_id, self.num_users)
        exists, item = within(item_id, self.num_items)
        position = self.positions(item)
        users, items = self.users.rows(safe), self.items.rows(position)

        def score_pair(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            user, item = pair
            return self.interaction(user[None, :], item[None, :])[0, 0]

        def score_some(start: tf.Tensor) -> tf.Tensor:
            # `interaction` scores all users with all items; a pair is its diagonal.
            some = slice(start, start + PAIRS_AT_ONCE)
            return tf.vectorized_map(score_pair, (users[some], items[some]))

        def turn(
            place: tf.Tensor, found: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.TensorArray]:
            return place + 1, found.write(place, score_some(place * PAIRS_AT_ONCE))

        count = tf.shape(users)[0]
        turns = tf.maximum((count + PAIRS_AT_ONCE - 1) // PAIRS_AT_ONCE, 1)
        parts = tf.TensorArray(
            tf.float32, turns, infer_shape=False, element_shape=[None]
        )
        _, parts = tf.while_loop(
            lambda place, _: place < turns, turn, (0, parts), parallel_iterations=1
        )
        scores = tf.ensure_shape(parts.concat(), [None])
        scores = tf.where(usable(users, known), scores, self.popular(position))
        return {"score": minus_infinity(tf.where(exists, scores, EXCLUDED))}

    @tf.function(autograph=False)
    def user_vector(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """What a phone whose file has no users keeps of its own.

        Args:
          user_id: int64 [B].

        Returns:
          `vector` float32 [B, du], `user_vector` of the signature `recommend_vector`
          of `.tflite` files; zeros, which rank by popularity, of a user who does not
          exist.
        """
        known, safe = within(user_id, self.num_users)
        return {"vector": tf.where(known[:, None], self.users.rows(safe), 0.0)}

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The concrete functions, by the name a server calls them."""
        user_id = tf.TensorSpec([None], tf.int64, name="user_id")
        item_id = tf.TensorSpec([None], tf.int64, name="item_id")
        history = tf.TensorSpec([None, None], tf.int32, name="history")
        functions = {
            "serving_default": self.recommend.get_concrete_function(user_id),
            "score": self.score.get_concrete_function(user_id, item_id),
            "user_vector": self.user_vector.get_concrete_function(user_id),
        }
        if self.encoded is not None:
            functions["from_history"] = self.from_history.get_concrete_function(history)
        return functions

    @property
    def table_bytes(self) -> int:
        """Bytes of the item table, and of what user vectors are read from."""
        return self.users.nbytes + self.items.nbytes

    @property
    def history_bytes(self) -> int:
        """Bytes of the users' histories."""
        stored = nbytes(self.history_offsets) + nbytes(self.history)
        return stored + (self.encoded.history_bytes if self.encoded else 0)

    def _rank(
        self, vectors: tf.Tensor, known: tf.Tensor, seen: tf.Tensor, owners: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Rankings without what was seen.

        Args:
          vectors: float32 [B, du].
          known: bool [B], False ranks by popularity.
          seen: int32 [n], positions.
          owners: int32 [n], the rows of `vectors` that have seen them.
        """
        smallest = min(SMALLEST_BLOCK, self.num_items)
        users = tf.shape(vectors)[0]
        most = min(max(WEIGHTS_PER_BLOCK // self.item_width, smallest), self.num_items)
        block = tf.clip_by_value(
            PAIRS_PER_BLOCK // tf.maximum(users, 1), smallest, most
        )
        known = usable(vectors, known)[:, None]

        def score(start: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
            positions = start + tf.range(block)
            scores = self.interaction(vectors, self.items.rows(positions))
            scores = tf.where(known, scores, self.popular(positions))
            scores = tf.where(positions >= new, scores, EXCLUDED)
            here = tf.logical_and(seen >= start, seen < start + block)
            cells = tf.stack([owners, seen - start], axis=1)
            cells = tf.boolean_mask(cells, here)
            nothing = tf.fill([tf.shape(cells)[0]], EXCLUDED)
            return tf.tensor_scatter_nd_update(scores, cells, nothing)

        return self.rank(score, users, block)


def save(module: ServingModule, folder: Path) -> Path:
    """Write the SavedModel so that `saved_model.pb` lies directly in `folder`.

    The folder appears when it is complete, in place of one that was there.
    """
    with replacing(folder) as partial:
        write_signatures(module, module.signatures(), partial)
    return folder


def export_serving(module: ServingModule, folder: Path) -> Path:
    """Add a version for TensorFlow Serving.

    Args:
      module: what to serve.
      folder: the model's base path; versions are its numbered subfolders.

    Returns:
      The new `folder/<version>/`, one above the highest that is there. The
      server sees it only when it is complete.

    Raises:
      UserError: another process writes to the folder.
    """
    with locks.held(folder):
        names = [path.name for path in folder.iterdir()]
        versions = [int(name) for name in names if re.fullmatch("[0-9]+", name)]
        return save(module, folder / str(max(versions, default=0) + 1))


def write_signatures(
    module: Ranker,
    signatures: Mapping[str, tf.types.experimental.ConcreteFunction],
    folder: Path,
) -> None:
    """`tf.saved_model.save`, without its log lines and training gradients.

    Only the signatures and their variables are saved: the module's functions
    would be traced again and take as much of the graph again.
    """
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    held = tf.Module()
    held.captured, held.resources = module.variables, module.resources
    with quiet_tensorflow():
        tf.saved_model.save(held, os.fspath(folder), dict(signatures), options)
