"""The SavedModel: recommendations for users known to the server."""

import os
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from dsl_tf.export.codings import nbytes
from dsl_tf.export.console import quiet_tensorflow
from dsl_tf.export.frozen import FrozenModel
from dsl_tf.export.layouts import store
from dsl_tf.export.ranker import EXCLUDED, Ranker, minus_infinity, usable, within
from dsl_tf.files import replacing

#: User-item pairs scored at once. With 128 activations a pair, 128 MiB.
PAIRS_PER_BLOCK = 2**18
#: Items scored at once at least, however many users are asked for.
SMALLEST_BLOCK = 64


class ServingModule(Ranker):
    """What the SavedModel holds; never the training model itself.

    Its tables are float32 in the layout of fewest bytes. Rows are built, in
    blocks: they serve all users of a batch.

    Args:
      frozen: the model to serve.
      k: length of a ranking.
    """

    def __init__(self, frozen: FrozenModel, k: int):
        super().__init__(frozen, store(frozen.items, "float32", "small"), k)
        self.num_users = frozen.num_users
        self.users = store(frozen.users, "float32", "small")
        self.history_offsets = tf.Variable(frozen.history_offsets, trainable=False)
        self.history = tf.Variable(frozen.history, trainable=False)

    @tf.function
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
        rows = tf.cast(steps.value_rowids(), tf.int32)
        smallest = min(SMALLEST_BLOCK, self.num_items)
        block = tf.clip_by_value(
            PAIRS_PER_BLOCK // tf.maximum(tf.size(user_id), 1),
            smallest,
            self.num_items,
        )

        vectors = self.users.rows(safe)
        known = usable(vectors, known)[:, None]

        def score(start: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
            positions = start + tf.range(block)
            scores = self.interaction(vectors, self.items.rows(positions))
            scores = tf.where(known, scores, self.popular(positions))
            scores = tf.where(positions >= new, scores, EXCLUDED)
            here = tf.logical_and(seen >= start, seen < start + block)
            cells = tf.stack([rows, seen - start], axis=1)
            cells = tf.boolean_mask(cells, here)
            nothing = tf.fill([tf.shape(cells)[0]], EXCLUDED)
            return tf.tensor_scatter_nd_update(scores, cells, nothing)

        return self.rank(score, tf.size(user_id), block)

    @tf.function
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

        # `interaction` scores all users with all items; a pair is its diagonal.
        scores = tf.vectorized_map(score_pair, (users, items))
        scores = tf.where(usable(users, known), scores, self.popular(position))
        return {"score": minus_infinity(tf.where(exists, scores, EXCLUDED))}

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The concrete functions, by the name a server calls them."""
        user_id = tf.TensorSpec([None], tf.int64, name="user_id")
        item_id = tf.TensorSpec([None], tf.int64, name="item_id")
        return {
            "serving_default": self.recommend.get_concrete_function(user_id),
            "score": self.score.get_concrete_function(user_id, item_id),
        }

    @property
    def table_bytes(self) -> int:
        """Bytes of the user and the item table."""
        return self.users.nbytes + self.items.nbytes

    @property
    def history_bytes(self) -> int:
        """Bytes of the users' histories."""
        return nbytes(self.history_offsets) + nbytes(self.history)


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
    """
    folder.mkdir(parents=True, exist_ok=True)
    versions = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    return save(module, folder / str(max(versions, default=0) + 1))


def write_signatures(
    module: tf.Module,
    signatures: Mapping[str, tf.types.experimental.ConcreteFunction],
    folder: Path,
) -> None:
    """`tf.saved_model.save`, without its log lines and training gradients.

    Only the signatures and their variables are saved: the module's functions
    would be traced again and take as much of the graph again.
    """
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    held = tf.Module()
    held.captured = module.variables
    with quiet_tensorflow():
        tf.saved_model.save(held, os.fspath(folder), dict(signatures), options)
