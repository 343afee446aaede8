"""What every evaluation protocol is, and what they share."""

import abc
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.evaluation import intervals, ranking
from dsl_tf.types import Interactions, RankingResult, Split

Part = Literal["validation", "test"]

#: User row numbers int32 [B] to what `Backbone.score` is asked.
Query = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]


class Protocol(abc.ABC):
    """A way to ask a model for the held-out items of each user.

    Attributes:
      note: what a reader of the metrics must know of how the model was asked.
    """

    note: ClassVar[str] = ""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What `find` knows it by and tables print."""

    def check(self, split: Split) -> None:
        """Whether a split has what the protocol asks, to know before training.

        Raises:
          UserError: it has not.
        """
        if split.fold_in is not None:
            raise UserError(
                "`evaluation.protocol` must be strong_generalization where users are "
                "held out (`data.split=strong_generalization`). Received: "
                f"{self.name!r}."
            )

    def query(self, split: Split) -> Query:
        """How a model is asked: for users whom it was trained on."""
        del split
        return lambda users: {"user_id": users}

    @abc.abstractmethod
    def evaluate(
        self,
        score: ranking.Score,
        split: Split,
        part: Part,
        cutoffs: tuple[int, ...],
        seed: int,
    ) -> RankingResult:
        """Measures a model on the held-out interactions of one part.

        Users of the part of whom nothing is known are left out and counted.

        Args:
          score: user row numbers int32 [B] to scores float32 [B, num_items];
            -inf for an item that cannot be recommended. It is traced by
            `tf.function` once an evaluation, and called on batches of
            `ranking.batch_size(num_items)` users.
          split: training and held-out interactions.
          part: `"validation"` or `"test"`.
          cutoffs: every K to report, each at least 1.
          seed: the run's seed, for ties, draws and the bootstrap.

        Raises:
          UserError: a bad cut-off, a split for another protocol, a part without
            users, or a NaN score.
        """


def check_cutoffs(cutoffs: tuple[int, ...]) -> None:
    """Refuses cut-offs that are no ranks.

    Raises:
      UserError: there is none, or one below 1.
    """
    if not cutoffs or min(cutoffs) < 1:
        raise UserError(
            "`evaluation.cutoffs` must be one or more numbers from 1. "
            f"Received: {cutoffs}."
        )


def held_out_items(split: Split, part: Part) -> Interactions:
    """What a model is to find."""
    return {"validation": split.validation, "test": split.test}[part]


def matrix(interactions: Interactions, split: Split) -> scipy.sparse.csr_matrix:
    """Interactions as a binary matrix, [num_users, num_items]."""
    return interactions.csr(split.num_users, split.num_items)


def evaluated_users(
    split: Split, held_out: Interactions, part: Part
) -> tuple[np.ndarray, int]:
    """Users to evaluate, int32 ascending, and how many had to be left out.

    Raises:
      UserError: nobody is to be evaluated.
    """
    users = np.unique(held_out.users).astype(np.int32)
    known = np.isin(users, split.known().users)
    if not known.any():
        raise UserError(
            f"The {part} part must have a user with held-out and training items. "
            f"Received: {len(users)} users with held-out items."
        )
    return users[known], int((~known).sum())


def result(
    protocol: Protocol,
    users: np.ndarray,
    per_user: dict[str, np.ndarray],
    over_all: dict[str, float],
    left_out: int,
    seed: int,
) -> RankingResult:
    """The record of an evaluation, with means and intervals.

    Args:
      protocol: how it was done.
      users: int32 [n], who was evaluated.
      per_user: metric to float64 [n].
      over_all: metrics that exist only over all users.
      left_out: users who could not be evaluated.
      seed: of the bootstrap.
    """
    mean = {metric: float(values.mean()) for metric, values in per_user.items()}
    return RankingResult(
        protocol.name,
        users,
        per_user,
        mean | over_all,
        intervals.Intervals(per_user, seed),
        left_out,
        protocol.note,
    )
