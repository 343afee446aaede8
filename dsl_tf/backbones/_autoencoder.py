"""What autoencoders share: a user is the items of the user's history."""

import abc
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf.backbones._dot_product import DotProductBackbone
from dsl_tf.backbones.base import Prepared
from dsl_tf.data.pipelines import Batches, Users
from dsl_tf.layers import histories
from dsl_tf.layers.tables import LookUp, TableFactory
from dsl_tf.types import Split

#: The initialiser of a weight, by its name.
Initial = Callable[[str], keras.initializers.Initializer]

#: Rows of a table that are counted at a time.
ROWS_AT_ONCE = 1 << 13


class Autoencoder(DotProductBackbone):
    """user vector = f(Σ encoder rows of the history's items, their number, own row).

    So a user who was never trained on is served by a history. The two matrices
    that are as large as the catalogue are tables of items, each row an item's.
    Item vectors [num_items, h + 1] are the rows of the decoder with its bias as
    last column, and `query_vectors` end in a 1.

    Training batches are users with their whole histories; the scores of all items
    are computed for each.

    Args:
      split: its training part is the users' histories.
      tables: makes the tables.
      name: the model's name.
      width: h, columns of the encoder and of the decoder.
      matrix: initialises the two.
      bias: initialises the encoder's bias [h] and the decoder's [num_items].
      rate: share of a history's items left out in training, in [0, 1).
      seed: seeds which.
    """

    scores_pairs = False
    answers_histories = True

    def __init__(
        self,
        split: Split,
        tables: TableFactory,
        name: str,
        width: int,
        matrix: Initial,
        bias: Initial,
        rate: float,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        self.num_users, self.num_items = split.num_users, split.num_items
        self._activity, self._popularity = split.activity(), split.popularity()
        self._items = tf.constant(split.train.items, tf.int32)
        starts = np.concatenate([[0], np.cumsum(self._activity)])
        self._starts = tf.constant(starts, tf.int64)
        self._rate, self._seed = rate, seed
        self.encoder, self.decoder = (
            tables.one("items", width, part, matrix(part))
            for part in ("encoder", "decoder")
        )
        self.encoder_bias, self.decoder_bias = (
            self.add_weight(name=name, shape=[units], initializer=bias(name))
            for name, units in (
                ("encoder_bias", width),
                ("decoder_bias", self.num_items),
            )
        )
        for table in (self.encoder, self.decoder):
            table(tf.zeros([1], tf.int32))  # makes it

    def batches(
        self, split: Split, config: config_dict.ConfigDict, seed: int
    ) -> Batches:
        """Batches of users; `train.negatives` and `train.sampling` are not read."""
        return Users(split, config.batch_size, seed)

    def histories(self, users: tf.Tensor) -> tf.RaggedTensor:
        """Training items of users, int [B] -> ragged int32 [B, None], ascending."""
        every = tf.RaggedTensor.from_row_splits(
            self._items, self._starts, validate=False
        )
        return tf.gather(every, users)

    def encoder_rows(self, items: tf.Tensor) -> tf.Tensor:
        """Rows of the encoder as its table stores them, int [n] -> [n, h]."""
        return self.encoder(items)

    def user_rows(self, users: tf.Tensor) -> tf.Tensor | None:
        """Users' own rows, int [B] -> [B, h]; None where a model has none."""
        del users
        return None

    @abc.abstractmethod
    def encode(
        self, sums: tf.Tensor, counts: tf.Tensor, user_rows: tf.Tensor | None
    ) -> tf.Tensor:
        """User vectors: inference only, without dropout or noise.

        Uses only operations with a TFLite built-in. A history without items gives
        a zero vector.

        Args:
          sums: float32 [B, h], Σ of the encoder rows over the history.
          counts: float32 [B], items in the history.
          user_rows: float32 [B, h], or None for users without rows of their own.

        Returns:
          float32 [B, du].
        """

    def user_vectors(
        self, query: Mapping[str, tf.Tensor], prepared: Prepared | None = None
    ) -> tf.Tensor:
        """Vectors of a query.

        Args:
          query: `user_id` int [B], for known users with their training items; or
            `history`, ragged int [B, None] item row numbers without duplicates,
            for users never seen, whose own row is 0; or both, for known users
            with another history.
          prepared: nothing is.

        Returns:
          float32 [B, du].
        """
        del prepared
        users, history = query.get("user_id"), query.get("history")
        history = self.histories(users) if history is None else history
        return self.encode(
            histories.sums(self.encoder_rows, history, self.num_items),
            lengths(history),
            None if users is None else self.user_rows(users),
        )

    def item_vectors(
        self, items: tf.Tensor | None = None, prepared: Prepared | None = None
    ) -> tf.Tensor:
        """Rows of the decoder and their bias, [n, h + 1]."""
        del prepared
        rows = tf.range(self.num_items) if items is None else items
        bias = tf.gather(self.decoder_bias, rows)
        return tf.concat([self.decoder(rows), bias[:, None]], axis=1)

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Scores of all items for a batch's users, [B, num_items]."""
        return self.score({"user_id": inputs["user"]})

    def history_macs(self) -> float:
        """Accumulates of an average history's sum: the non-zeros of its rows.

        Σ_i n_i · nnz(encoder row i) / N, with n_i the users who have item i, and N
        those who have any.
        """
        nonzeros = row_nonzeros(self.encoder_rows, self.num_items)
        return float(self._popularity @ nonzeros / np.count_nonzero(self._activity))

    def _sums(self, history: tf.RaggedTensor, training: bool) -> tf.Tensor:
        """Σ of encoder rows; in training of some items' only, scaled up for it."""
        if not training:
            return histories.sums(self.encoder_rows, history, self.num_items)
        step = self.optimizer.iterations
        some = histories.corrupted(history, self._rate, self._seed, "items", step)
        sums = histories.sums(self.encoder_rows, some, self.num_items)
        return sums / (1.0 - self._rate)

    def _scores(self, hidden: tf.Tensor) -> tf.Tensor:
        """Of all items, [B, h] -> [B, num_items]; the decoder goes by blocks."""
        scores = self.decoder.products(hidden) + self.decoder_bias
        return tf.ensure_shape(scores, [None, self.num_items])


def lengths(histories: tf.RaggedTensor) -> tf.Tensor:
    """Items in each history, float32 [B]."""
    return tf.cast(histories.row_lengths(), tf.float32)


def unless_empty(vectors: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """User vectors [B, du], zero where a history's `counts` [B] is zero."""
    return tf.where(counts[:, None] > 0, vectors, tf.zeros_like(vectors))


def with_one(hidden: tf.Tensor) -> tf.Tensor:
    """A last column of ones, which the bias in item vectors is multiplied with."""
    return tf.concat([hidden, tf.ones_like(hidden[:, :1])], axis=1)


def picked(scores: tf.Tensor, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
    """Some scores, [...]: of `scores` [B, M] at (users, items), each int [...]."""
    start = tf.cast(users, tf.int64) * scores.shape[1]
    return tf.gather(tf.reshape(scores, [-1]), start + tf.cast(items, tf.int64))


def row_nonzeros(look_up: LookUp, rows: int) -> np.ndarray:
    """Non-zeros of each row of a table, int64 [rows]."""
    return np.concatenate(
        [
            np.count_nonzero(
                look_up(tf.range(start, min(start + ROWS_AT_ONCE, rows))), axis=1
            )
            for start in range(0, rows, ROWS_AT_ONCE)
        ]
    )
