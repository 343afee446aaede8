"""The named evaluation protocols; a metric means nothing without its protocol.

Example:
    protocol = protocols.find("full_ranking")
    query = protocol.query(split)
    score = lambda users: model.score(query(users))
    result = protocol.evaluate(score, split, "test", cutoffs=(20,), seed=0)
    result.mean["recall@20"], result.ci95["recall@20"]
"""

import dataclasses
import re
import zlib

import numpy as np
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.evaluation import base, candidates, metrics, ranking
from dsl_tf.types import RankingResult, Split

Part = base.Part


@dataclasses.dataclass(frozen=True)
class FullRanking(base.Protocol):
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
        part: base.Part,
        cutoffs: tuple[int, ...],
        seed: int,
    ) -> RankingResult:
        base.check_cutoffs(cutoffs)
        self.check(split)
        held_out = base.held_out_items(split, part)
        users, left_out = base.evaluated_users(split, held_out, part)
        if self.users is not None and self.users < len(users):
            rng = np.random.default_rng([seed, zlib.crc32(b"evaluated users")])
            users = np.sort(rng.choice(users, self.users, replace=False))
        known = base.matrix(split.known(), split)
        if part == "test":
            known += base.matrix(split.validation, split)
        top = ranking.rank(score, users, known, max(cutoffs), seed)
        found = metrics.hits(users, top.items, held_out, split.num_items)
        counts = np.bincount(held_out.users, minlength=split.num_users)[users]
        over_all = {}
        for cutoff in cutoffs:
            covered = metrics.coverage(top.items, cutoff, split.num_items)
            over_all[f"coverage@{cutoff}"] = covered
            over_all[f"tied_users@{cutoff}"] = float(top.tied(cutoff).mean())
        per_user = metrics.per_user(found, counts, cutoffs)
        return base.result(self, users, per_user, over_all, left_out, seed)


class StrongGeneralization(FullRanking):
    """Full ranking for users whom the model was not trained on.

    Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018,
    sec. 4.1: the model is asked from a held-out user's fold-in items, those are
    masked, and the rest of the user's items are to be found. Their recall is
    `recall_capped@K`.
    """

    note = "asked from fold-in items; a user's own row, where a model has one, is 0"

    @property
    def name(self) -> str:
        return "strong_generalization"

    def check(self, split: Split) -> None:
        """Users must be held out."""
        if split.fold_in is None:
            raise UserError(
                "`evaluation.protocol=strong_generalization` needs held-out users, "
                "which `data.split=strong_generalization` makes. Received: "
                f"{split.label!r}."
            )

    def query(self, split: Split) -> base.Query:
        """How a model is asked: by the fold-in items of users, ragged [B, None]."""
        self.check(split)
        known = base.matrix(split.known(), split)
        history = tf.RaggedTensor.from_row_splits(known.indices, known.indptr)
        return lambda users: {"history": tf.gather(history, users)}


@dataclasses.dataclass(frozen=True)
class LeaveOneOutSampled(base.Protocol):
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
    #: By part: what was drawn last, and the split and seed it was drawn for.
    _drawn: dict[base.Part, tuple[Split, int, np.ndarray]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        return "leave_one_out_sampled"

    def evaluate(
        self,
        score: ranking.Score,
        split: Split,
        part: base.Part,
        cutoffs: tuple[int, ...],
        seed: int,
    ) -> RankingResult:
        base.check_cutoffs(cutoffs)
        self.check(split)
        interactions = base.held_out_items(split, part)
        users, left_out = base.evaluated_users(split, interactions, part)
        held_out = base.matrix(interactions, split)
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
        return base.result(self, users, per_user, over_all, left_out, seed)

    def _negatives(
        self, split: Split, part: base.Part, users: np.ndarray, seed: int
    ) -> np.ndarray:
        """Of the users of a part; drawn once, however often it is evaluated."""
        if part == "test" and split.candidates is not None:
            return split.candidates[users]
        if part in self._drawn:
            drawn_for, drawn_by, negatives = self._drawn[part]
            if drawn_for is split and drawn_by == seed:
                return negatives
        known = base.matrix(split.train, split) + base.matrix(split.validation, split)
        if part == "test":
            known += base.matrix(split.test, split)
        known.sort_indices()
        negatives = candidates.draw_negatives(users, known, self.negatives, seed)
        self._drawn[part] = (split, seed, negatives)
        return negatives


def find(name: str) -> base.Protocol:
    """The protocol of a name.

    Args:
      name: `"full_ranking"`, `"full_ranking(users=1000)"` (any number from 1),
        `"leave_one_out_sampled"` or `"strong_generalization"`.

    Raises:
      UserError: there is none; the message lists those that exist.
    """
    if name == "full_ranking":
        return FullRanking()
    if name == "leave_one_out_sampled":
        return LeaveOneOutSampled()
    if name == "strong_generalization":
        return StrongGeneralization()
    if limit := re.fullmatch(r"full_ranking\(users=([1-9]\d*)\)", name):
        return FullRanking(users=int(limit[1]))
    raise UserError(
        "`evaluation.protocol` must be one of full_ranking, full_ranking(users=n), "
        f"leave_one_out_sampled, strong_generalization. Received: {name!r}."
    )
