"""Evaluation of a backbone by the protocols of a config."""

from collections.abc import Sequence

import tensorflow as tf
from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone, Prepared
from dsl_tf.errors import UserError
from dsl_tf.evaluation import protocols
from dsl_tf.types import RankingResult, Split


class Evaluator:
    """Measures a model on a part of a split, again and again while it trains.

    Args:
      model: may be trained on between two evaluations.
      config: the whole config, which names the protocol of each part.
      split: what the model is trained on.
      part: which held-out interactions to ask for.

    Raises:
      UserError: an unknown protocol, one that the split is not made for, or one
        that asks from histories, of a backbone that only knows its users.
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
        query = self._protocol.query(split)

        # Arguments, not captured: they change from one evaluation to the next.
        @tf.function(autograph=False, reduce_retracing=True)
        def score(users: tf.Tensor, items: tf.Tensor, prepared: Prepared) -> tf.Tensor:
            return model.score(query(users), items, prepared)

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
