"""What every backbone is: a `tfrs.Model` that can also score and be exported."""

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from ml_collections import config_dict

from dsl_tf.data import negatives, positives
from dsl_tf.data.pipelines import Batches, Pairs
from dsl_tf.layers.blockwise import in_blocks
from dsl_tf.layers.losses import LossTerm
from dsl_tf.layers.tables import LookUp, Tables
from dsl_tf.storage.base import SparseWeight
from dsl_tf.types import LayerMacs, RowShares, Split

#: Weights in a block of vectors: 16 MiB as float32.
WEIGHTS_AT_ONCE = 1 << 22

#: Tensors that serve all vectors by the weights of one moment, by name.
Prepared = Mapping[str, tf.Tensor]


class Backbone(tfrs.Model, abc.ABC):
    """A recommender split into user vectors, item vectors and an interaction.

    `score` is `interaction(user_vectors(query), item_vectors())`. Evaluation,
    SavedModel and TFLite are built on these three, so that all of them rank
    by the same numbers. Vectors hold what the tables store wherever they can
    (nothing is projected in them), so that an export can pack them.

    Its code is not converted by AutoGraph, which would take a fifth of a short run:
    what depends on the values of tensors is `tf.cond`, `tf.while_loop` and the like.

    Attributes:
      num_users: rows of the user vocabulary.
      num_items: rows of the item vocabulary.
      findings: lines on what it makes of the split that its user should know.
      sums_losses: whether `compute_loss` is a sum over the batch, not a mean; the
        `loss_terms`, which are means, are then counted for each positive too.
      loss_terms: what a method adds to the loss of a training step.
      shares: of each row in its training steps; None where all are alike.
      scores_pairs: whether its loss is of pairs of a user and an item.
      answers_histories: whether a query may be the items of a user (`history`) in place
        of a user.
      exportable: whether its vectors and its interaction are all there is to it.
      held_bytes: of numbers that it scores by and that are no variables.
      activation_bytes: of the dense forms of whole tables that a training step holds
        at a time; 0 where it looks rows up.
    """

    num_users: int
    num_items: int
    findings: tuple[str, ...] = ()
    sums_losses = False
    loss_terms: tuple[LossTerm, ...] = ()
    shares: RowShares | None = None
    scores_pairs: bool = True
    answers_histories: bool = False
    exportable: bool = True
    held_bytes: int = 0
    activation_bytes: int = 0

    def batches(
        self, split: Split, config: config_dict.ConfigDict, seed: int
    ) -> Batches:
        """What `compute_loss` is given, step by step: positives with negatives.

        Args:
          split: its training part is used.
          config: the node `train`.
          seed: the run's seed.

        Raises:
          UserError: a key is out of range.
        """
        sampler = negatives.find(config.sampling)(
            split.train,
            split.num_users,
            split.num_items,
            config.negatives_exponent,
            config.shared_by,
        )
        return Pairs(
            split,
            config.batch_size,
            positives.find(config.positives)(split.train),
            sampler,
            config.negatives,
            seed,
        )

    @abc.abstractmethod
    def compute_loss(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """The loss of a batch.

        Args:
          inputs: a batch of `batches`: `user` int32 [B], `item` int32 [B],
            `negatives` int32 [G, n], of G groups of positives, see
            `dsl_tf.layers.logits`.
          training: whether dropout and the like are on.

        Returns:
          A scalar, the mean over the batch; the sum, if `sums_losses`.
        """

    @tf.autograph.experimental.do_not_convert
    def train_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """A step on `compute_loss`, `loss_terms` and the layers' own losses."""
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, training=True)
            terms = sum(term(inputs) for term in self.loss_terms)
            if self.sums_losses:
                terms *= tf.cast(tf.size(inputs["user"]), loss.dtype)
            loss += terms + sum(self.losses)
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss}

    def logits_with(
        self, inputs: Mapping[str, tf.Tensor], sets: Sequence[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Logits of a batch with each of several sets of negatives, [B, 1 + n] each.

        A graph model propagates once for all of them.

        Args:
          inputs: a batch, whose own negatives are not used.
          sets: int32 [G, n], as `negatives` of a batch are.
        """
        return [self({**inputs, "negatives": each}) for each in sets]

    def batch_vectors(
        self, inputs: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Vectors of a batch's users [B, du] and items [B, di], differentiable."""
        users = self.user_vectors({"user_id": inputs["user"]})
        return users, self.item_vectors(inputs["item"])

    def prepared(self) -> Prepared:
        """What all vectors need and is made once for many of them.

        Nothing where a vector is read from a table; the propagated table of a
        graph model.
        """
        return {}

    @abc.abstractmethod
    def user_vectors(
        self, query: Mapping[str, tf.Tensor], prepared: Prepared | None = None
    ) -> tf.Tensor:
        """Vectors of a query.

        Args:
          query: `user_id` int32 or int64 [B]; autoencoders also take `history`,
            ragged item row numbers.
          prepared: what `prepared()` returned, for callers with many queries.

        Returns:
          float32 [B, du].
        """

    @abc.abstractmethod
    def item_vectors(
        self, items: tf.Tensor | None = None, prepared: Prepared | None = None
    ) -> tf.Tensor:
        """Vectors of items.

        Args:
          items: int32 or int64 [n] row numbers; None for all items in order.
          prepared: as in `user_vectors`.

        Returns:
          float32 [n, di].
        """

    @abc.abstractmethod
    def interaction(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Scores of each user with each item.

        Uses only operations with a TFLite built-in.

        Args:
          users: float32 [B, du].
          items: float32 [n, di].

        Returns:
          float32 [B, n].
        """

    def score(
        self,
        query: Mapping[str, tf.Tensor],
        items: tf.Tensor | None = None,
        prepared: Prepared | None = None,
    ) -> tf.Tensor:
        """Scores of all items, float32 [B, num_items].

        Args:
          query: as in `user_vectors`.
          items: what `item_vectors()` returned, for callers with many queries,
            or None. To read a sparse table costs more than a batch's scores.
          prepared: as in `user_vectors`.
        """
        users = self.user_vectors(query, prepared)
        items = self.item_vectors(None, prepared) if items is None else items
        return self.score_vectors(users, items)

    def score_vectors(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Scores of all items by vectors, float32 [B, num_items].

        Users go through the interaction a few at a time: its activations are
        [users, num_items, hidden], which for a batch would not fit.

        Args:
          users: float32 [B, du].
          items: float32 [num_items, di].
        """
        return in_blocks(self.interaction, users, items, self.num_items)

    def user_blocks(self, prepared: Prepared | None = None) -> Iterator[np.ndarray]:
        """The vectors of all users in blocks of rows, float32 [n, du].

        Args:
          prepared: as in `user_vectors`.
        """
        prepared = prepared or self.prepared()
        return _blocks(
            lambda rows: self.user_vectors({"user_id": rows}, prepared),
            np.arange(self.num_users, dtype=np.int64),
        )

    def item_blocks(
        self, items: np.ndarray, prepared: Prepared | None = None
    ) -> Iterator[np.ndarray]:
        """The vectors of items in blocks of rows, float32 [n, di].

        Args:
          items: int64 [m] row numbers.
          prepared: as in `user_vectors`.
        """
        prepared = prepared or self.prepared()
        return _blocks(lambda rows: self.item_vectors(rows, prepared), items)

    def sparse_weights(self) -> Sequence[SparseWeight]:
        """Every weight that carries a mask, in the order of the layers."""
        return [
            weight
            for layer in self._flatten_layers()
            for weight in getattr(layer, "own_sparse_weights", [])
        ]

    def look_ups(self, kind: str) -> Mapping[str, LookUp]:
        """How rows of `kind`, `"users"` or `"items"`, are read, by the table's name."""
        found = {
            layer.name: layer.look_ups()
            for layer in self._flatten_layers()
            if isinstance(layer, Tables)
        }
        return {name: each[kind] for name, each in found.items() if kind in each}

    @abc.abstractmethod
    def macs(self, users: np.ndarray, items: np.ndarray) -> dict[str, LayerMacs]:
        """Multiply-accumulates of scoring by layer, zeros of the tables not counted.

        A look-up multiplies nothing.

        Args:
          users: float [du], the share of non-zeros in each column of the user
            vectors; all ones for a dense table.
          items: float [di], the same of the item vectors.
        """


def count(query: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """How many users a query is of: B of `user_id` [B] or `history` [B, None]."""
    if "history" in query:
        return query["history"].nrows()
    return tf.size(query["user_id"])


def _blocks(
    vectors: Callable[[tf.Tensor], tf.Tensor], rows: np.ndarray
) -> Iterator[np.ndarray]:
    width = vectors(tf.constant(rows[:1])).shape[1]
    step = max(1, WEIGHTS_AT_ONCE // width)
    for start in range(0, len(rows), step):
        yield vectors(tf.constant(rows[start : start + step])).numpy()
