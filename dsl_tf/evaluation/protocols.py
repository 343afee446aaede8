"""The named evaluation protocols; a metric means nothing without its protocol.

Example:
    protocol = protocols.find("full_ranking")
    result = protocol.evaluate(score, split, "test", cutoffs=(20,), seed=0)
    result.mean["recall@20"], result.ci95["recall@20"]
"""

import abc
import dataclasses
import re
import zlib
from typing import Literal

import numpy as np
import scipy.sparse

from dsl_tf.errors import UserError
from dsl_tf.evaluation import candidates, intervals, metrics, ranking
from dsl_tf.types import Interactions, RankingResult, Split

Part = Literal["validation", "test"]


class Protocol(abc.ABC):
    """A way to ask a model for the held-out items of each user."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What `find` knows it by and tables print."""

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

        Users of the part without any training item are left out and counted.

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
          UserError: a bad cut-off, a part without users, or a NaN score.
        """


@dataclasses.dataclass(frozen=True)
class FullRanking(Protocol):
    """Every item is a candidate, but what the model may know of the user.

    When testing that is the user's training and validation items; when
    validating the training items only: test items stay in, as unknown.

    Attributes:
      users: evaluate so many seeded users only; None for all.
    """

    users: int | None = None

    @property
    def name(self) -> str:
        limit = "" if self.users is None else f"(users={self.users})"
        return f"full_ranking{limit}"

    def evaluate(
        self,
        score: ranking.Score,
        split: Split,
        part: Part,
        cutoffs: tuple[int, ...],
        seed: int,
    ) -> RankingResult:
        _check(cutoffs)
        held_out = _held_out(split, part)
        users, left_out = _evaluated_users(split, held_out, part)
        if self.users is not None and self.users < len(users):
            rng = np.random.default_rng([seed, zlib.crc32(b"evaluated users")])
            users = np.sort(rng.choice(users, self.users, replace=False))
        known = _matrix(split.train, split)
        if part == "test":
            known += _matrix(split.validation, split)
        top = ranking.rank(score, users, known, max(cutoffs), seed)
        found = metrics.hits(users, top.items, held_out, split.num_items)
        counts = np.bincount(held_out.users, minlength=split.num_users)[users]
        over_all = {}
        for cutoff in cutoffs:
            covered = metrics.coverage(top.items, cutoff, split.num_items)
            over_all[f"coverage@{cutoff}"] = covered
            over_all[f"tied_users@{cutoff}"] = float(top.tied(cutoff).mean())
        per_user = metrics.per_user(found, counts, cutoffs)
        return _result(self.name, users, per_user, over_all, left_out, seed)


@dataclasses.dataclass(frozen=True)
class LeaveOneOutSampled(Protocol):
    """One held-out item among 99 fixed negatives (NCF, He et al. 2017).

    Only to compare with that literature: HR@10 is `hit@10`. A user with several
    held-out items has each of them ranked among the same negatives, and counts
    with their mean. When testing, the negatives are the split's own
    `candidates`, else drawn (seeded) from the items without any interaction of
    the user. When validating they are always drawn, and test items stay in as
    unknown: selection sees neither the test items nor their negatives.

    Attributes:
      negatives: how many to draw where the split brings none.
    """

    negatives: int = 99

    @property
    def name(self) -> str:
        return "leave_one_out_sampled"

    def evaluate(
        self,
        score: ranking.Score,
        split: Split,
        part: Part,
        cutoffs: tuple[int, ...],
        seed: int,
    ) -> RankingResult:
        _check(cutoffs)
        interactions = _held_out(split, part)
        users, left_out = _evaluated_users(split, interactions, part)
        held_out = _matrix(interactions, split)
        placing = candidates.place(
            score,
            users,
            self._negatives(split, part, users, seed),
            held_out,
            max(cutoffs),
            seed,
        )
        found = placing.ranks[:, None] == np.arange(max(cutoffs))
        of_items = metrics.per_user(found, np.ones(len(found), int), cutoffs)
        for cutoff in cutoffs:
            tied = placing.scores[:, cutoff - 1] == placing.scores[:, cutoff]
            tied &= placing.scores[:, cutoff] > -np.inf
            of_items[f"tied_users@{cutoff}"] = tied.astype(np.float64)
        # The mean over the held-out items of each user.
        starts = held_out[users].indptr
        per_user = {
            name: np.add.reduceat(values, starts[:-1]) / np.diff(starts)
            for name, values in of_items.items()
        }
        over_all = {
            f"tied_users@{cutoff}": float(per_user.pop(f"tied_users@{cutoff}").mean())
            for cutoff in cutoffs
        }
        return _result(self.name, users, per_user, over_all, left_out, seed)

    def _negatives(
        self, split: Split, part: Part, users: np.ndarray, seed: int
    ) -> np.ndarray:
        if part == "test" and split.candidates is not None:
            return split.candidates[users]
        known = _matrix(split.train, split) + _matrix(split.validation, split)
        if part == "test":
            known += _matrix(split.test, split)
        known.sort_indices()
        return candidates.draw_negatives(users, known, self.negatives, seed)


def find(name: str) -> Protocol:
    """The protocol of a name.

    Args:
      name: `"full_ranking"`, `"full_ranking(users=1000)"` (any number from 1)
        or `"leave_one_out_sampled"`.

    Raises:
      UserError: there is none; the message lists those that exist.
    """
    if name == "full_ranking":
        return FullRanking()
    if name == "leave_one_out_sampled":
        return LeaveOneOutSampled()
    if limit := re.fullmatch(r"full_ranking\(users=([1-9]\d*)\)", name):
        return FullRanking(users=int(limit[1]))
    raise UserError(
        "`evaluation.protocol` must be one of full_ranking, full_ranking(users=n), "
        f"leave_one_out_sampled. Received: {name!r}."
    )


def _check(cutoffs: tuple[int, ...]) -> None:
    if not cutoffs or min(cutoffs) < 1:
        raise UserError(
            "`evaluation.cutoffs` must be one or more numbers from 1. "
            f"Received: {cutoffs}."
        )


def _held_out(split: Split, part: Part) -> Interactions:
    return {"validation": split.validation, "test": split.test}[part]


def _matrix(interactions: Interactions, split: Split) -> scipy.sparse.csr_matrix:
    return interactions.csr(split.num_users, split.num_items)


def _evaluated_users(
    split: Split, held_out: Interactions, part: Part
) -> tuple[np.ndarray, int]:
    """Users to evaluate, int32 ascending, and how many had to be left out."""
    users = np.unique(held_out.users).astype(np.int32)
    trained = split.activity()[users] > 0
    if not trained.any():
        raise UserError(
            f"The {part} part must have a user with held-out and training items. "
            f"Received: {len(users)} users with held-out items."
        )
    return users[trained], int((~trained).sum())


def _result(
    name: str,
    users: np.ndarray,
    per_user: dict[str, np.ndarray],
    over_all: dict[str, float],
    left_out: int,
    seed: int,
) -> RankingResult:
    mean = {metric: float(values.mean()) for metric, values in per_user.items()}
    interval = intervals.bootstrap(per_user, seed)
    return RankingResult(name, users, per_user, mean | over_all, interval, left_out)
