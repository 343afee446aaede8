"""Evaluation of a backbone by the protocols of a config."""

from collections.abc import Sequence

import tensorflow as tf
from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone, Prepared
from dsl_tf.errors import UserError
from dsl_tf.evaluation import base as evaluation
from dsl_tf.evaluation import protocols
from dsl_tf.types import RankingResult, Split


class Evaluator:
    """Measures a model on a part of a split, again and again while it trains.

    Args:
      model: may be trained on between two evaluations.
      config: the whole config, which names the protocol of each part.
      split: what the model is trained on.
      part: which held-out interactions to ask for.

    A user whose vector is all zero, in a table of very few weights, is ranked by
    popularity, as exports do it.

    Raises:
      UserError: an unknown protocol, one that the split is not made for, or one
        that asks from histories, of a backbone that only knows its users; cut-offs
        that are no ranks; or a part of whose users nothing is known.
    """

    def __init__(
        self,
        model: Backbone,
        config: config_dict.ConfigDict,
        split: Split,
        part: protocols.Part,
    ) -> None:
        name = config.evaluation.protocol
        if part == "validation":
            name = config.evaluation.validation_protocol or name
        self._protocol = protocols.find(name)
        self._protocol.check(split)
        if split.fold_in is not None and not model.answers_histories:
            raise UserError(
                f"`evaluation.protocol={name}` asks about users by their items, which "
                "autoencoders, item_knn, ease and popularity can answer. Received: "
                f"model.name={config.model.name}, method.name={config.method.name}."
            )
        self._model, self._split, self._part = model, split, part
        self._cutoffs, self._seed = tuple(config.evaluation.cutoffs), config.data.seed
        # What would be found out after hours of training.
        evaluation.check_cutoffs(self._cutoffs)
        held_out = evaluation.held_out_items(split, part)
        if len(held_out):  # a search is made without a test part
            evaluation.evaluated_users(split, held_out, part)
        query = self._protocol.query(split)
        popular = tf.constant(split.popularity(), tf.float32)

        # Arguments, not captured: they change from one evaluation to the next.
        @tf.function(autograph=False, reduce_retracing=True)
        def score(users: tf.Tensor, items: tf.Tensor, prepared: Prepared) -> tf.Tensor:
            asked = query(users)
            if not model.exportable:
                return model.score(asked, items, prepared)
            vectors = model.user_vectors(asked, prepared)
            scores = model.score_vectors(vectors, items)
            usable = tf.reduce_any(tf.not_equal(vectors, 0.0), axis=1)
            return tf.where(usable[:, None], scores, popular)

        self._score = score

    def __call__(self) -> RankingResult:
        """Evaluate by the weights of this moment."""
        # What all users share is made once for all batches.
        prepared = self._model.prepared()
        items = self._model.item_vectors(None, prepared)
        return self._protocol.evaluate(
            lambda users: self._score(users, items, prepared),
            self._split,
            self._part,
            self._cutoffs,
            self._seed,
        )


def selection_metric(cutoffs: Sequence[int]) -> str:
    """The validation metric that selects epochs and seeds: the first recall."""
    return f"recall@{cutoffs[0]}"
