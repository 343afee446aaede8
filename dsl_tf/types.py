"""The frozen records that the parts of the package hand to each other.

Ids inside the package are always row numbers: 0-based, without gaps, one row
of an embedding table each. Raw ids (what the user's file says) are strings and
live only in `user_ids` and `item_ids`, whose position is the row number.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse


@dataclasses.dataclass(frozen=True)
class Interactions:
    """Observed (user, item) pairs, as row numbers.

    Attributes:
      users: int32 [n].
      items: int32 [n].
      ratings: float32 [n], or None where the source has none.
      times: int64 [n], seconds, or None where the source has none.
      places: int64 [n], where each stood in a source whose order within a user may
        mean something, or None.
    """

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray | None = None
    times: np.ndarray | None = None
    places: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.users.shape != self.items.shape or self.users.ndim != 1:
            raise ValueError(
                "`users` and `items` must be vectors of one length. Received: "
                f"shapes {self.users.shape} and {self.items.shape}."
            )

    def __len__(self) -> int:
        return len(self.users)

    def take(self, index: np.ndarray) -> "Interactions":
        """The interactions at `index` (positions, or a bool mask)."""
        return Interactions(
            self.users[index],
            self.items[index],
            None if self.ratings is None else self.ratings[index],
            None if self.times is None else self.times[index],
            None if self.places is None else self.places[index],
        )

    def csr(self, num_users: int, num_items: int) -> scipy.sparse.csr_matrix:
        """A binary float32 [num_users, num_items] matrix, columns sorted."""
        ones = np.ones(len(self), np.float32)
        matrix = scipy.sparse.csr_matrix(
            (ones, (self.users, self.items)), shape=(num_users, num_items)
        )
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix

    def merged(self, others: "Interactions") -> "Interactions":
        """The pairs of both, by user, then item; without their other columns."""
        users = np.concatenate([self.users, others.users])
        items = np.concatenate([self.items, others.items])
        order = np.lexsort((items, users))
        return Interactions(users[order], items[order])


def empty_interactions() -> Interactions:
    """Interactions of nobody with nothing."""
    return Interactions(np.zeros(0, np.int32), np.zeros(0, np.int32))


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What a source holds, before it is split.

    Attributes:
      name: the data set's name, as in tables.
      user_ids: str objects [num_users], raw ids; position = row number.
      item_ids: str objects [num_items], raw ids; position = row number.
      train: all interactions where the source brings no split.
      test: None where the source brings no split.
      validation: None where the source brings none.
      candidates: int32 [num_users, n] fixed negatives of each user for
        `leave_one_out_sampled`, or None where the source brings none.
      split_label: how tables name the split that came with the source.
      warnings: one line for each kind of untidiness found, with its count.
    """

    name: str
    user_ids: np.ndarray
    item_ids: np.ndarray
    train: Interactions
    test: Interactions | None = None
    validation: Interactions | None = None
    candidates: np.ndarray | None = None
    split_label: str = "given"
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Split:
    """Training, validation and test interactions over one vocabulary.

    The three are disjoint, free of duplicates, and sorted by user, then item.

    Attributes:
      fold_in: where whole users are held out (strong generalisation), the items
        of theirs that a model is asked from: never trained on, and of users who
        have no training item. None where all users are trained on.
    """

    name: str
    user_ids: np.ndarray
    item_ids: np.ndarray
    train: Interactions
    validation: Interactions
    test: Interactions
    candidates: np.ndarray | None = None
    label: str = "given"
    warnings: tuple[str, ...] = ()
    fold_in: Interactions | None = None

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    def fingerprint(self) -> str:
        """sha256 (hex) over vocabulary sizes, all parts' pairs and any candidates."""
        digest = hashlib.sha256(f"{self.num_users} {self.num_items}".encode())
        parts = [self.train, self.validation, self.test]
        if self.fold_in is not None:
            parts.append(self.fold_in)
        for part in parts:
            digest.update(b"|")
            digest.update(np.ascontiguousarray(part.users, "<i4").tobytes())
            digest.update(np.ascontiguousarray(part.items, "<i4").tobytes())
        if self.candidates is not None:
            digest.update(f"|candidates {self.candidates.shape}|".encode())
            digest.update(np.ascontiguousarray(self.candidates, "<i4").tobytes())
        return digest.hexdigest()

    def popularity(self) -> np.ndarray:
        """int64 [num_items]: training interactions of each item."""
        return np.bincount(self.train.items, minlength=self.num_items)

    def activity(self) -> np.ndarray:
        """int64 [num_users]: training interactions of each user."""
        return np.bincount(self.train.users, minlength=self.num_users)

    def known(self) -> Interactions:
        """What a model is asked from: each user's training or fold-in items."""
        return self.train if self.fold_in is None else self.train.merged(self.fold_in)

    def with_validation(self) -> "Split":
        """The split whose training part holds the validation part too.

        Users held out for validation join with all their items, those folded in
        included; those held out for the test stay out, as does the vocabulary.
        """
        train, fold_in = self.train.merged(self.validation), self.fold_in
        if fold_in is not None:
            joins = np.isin(fold_in.users, self.validation.users)
            train = train.merged(fold_in.take(joins))
            fold_in = fold_in.take(~joins)
        return dataclasses.replace(
            self, train=train, validation=empty_interactions(), fold_in=fold_in
        )


class Exchange(NamedTuple):
    """What one exploration step moves in one weight (DSL sec. 3.1.3).

    `len(pruned) == len(grown)`; all other active weights stay, with value and
    optimiser moments.

    Attributes:
      pruned: int64, ascending: those active before and inactive after, by
        their places among the active weights (in row-major order).
      grown: int64, ascending: those inactive before and active after, by their
        row-major positions, row * width + column. They start at zero.
      asked: the number of weights that the update ratio asked to exchange.
      offered: inactive positions that had a growth score above zero.
    """

    pruned: np.ndarray
    grown: np.ndarray
    asked: int
    offered: int


@dataclasses.dataclass(frozen=True)
class ExchangeRecord:
    """What one exploration did in one weight.

    Attributes:
      step: optimiser steps done.
      weight: `<layer>/<weight>`.
      update_ratio: ρ_t.
      asked: weights to exchange, round(ρ_t · nnz).
      offered: inactive positions with a growth score.
      done: weights that left, and as many that entered.
      horizon: steps whose gradients were summed.
    """

    step: int
    weight: str
    update_ratio: float
    asked: int
    offered: int
    done: int
    horizon: int


class LayerMacs(NamedTuple):
    """Multiply-accumulates of a layer in scoring, on average over users and items.

    Scoring one user with n items takes `per_user + n * (per_item + per_pair)`;
    what depends on the item alone can be kept between users. `once` comes before
    any score by new weights: a hop of a graph model's propagation. Its gradient
    takes `once_backward`, that of all else twice what itself takes: the gradient of
    its inputs and that of its weights.
    """

    per_user: float = 0.0
    per_item: float = 0.0
    per_pair: float = 0.0
    once: float = 0.0
    once_backward: float = 0.0


class StepSize(NamedTuple):
    """What a training step takes in, repetitions counted.

    Attributes:
      users: users.
      items: items whose vectors it needs.
      pairs: of a user and an item, scored.
      positives: training interactions, on average.
    """

    users: int
    items: int
    pairs: int
    positives: int


class RowShares(NamedTuple):
    """How often training steps take in each row; each is float64 and sums to 1.

    Attributes:
      users: [num_users], of the users of a step, and of those in its pairs.
      items: [num_items], of the items whose vectors a step needs.
      pairs: [num_items], of the items in the pairs of a step.
      positives: [num_items], of the items of the positives.
    """

    users: np.ndarray
    items: np.ndarray
    pairs: np.ndarray
    positives: np.ndarray


@dataclasses.dataclass(frozen=True)
class RankingResult:
    """The metrics of one ranking evaluation, user by user.

    Attributes:
      protocol: the protocol's name; a metric is never printed without it.
      users: int32 [n], the row numbers of the users evaluated.
      per_user: metric name, such as `"recall@20"`, to float64 [n].
      mean: metric name to the mean over users; holds also what exists only
        over all users (`"coverage@20"`, `"tied_users@20"`).
      ci95: metric name to the (low, high) of a 95 % bootstrap interval; those of
        an evaluation are drawn when the first of them is read.
      left_out: users with held-out items but without any the model knows.
      note: what a reader must know of how the model was asked, or "".
    """

    protocol: str
    users: np.ndarray
    per_user: dict[str, np.ndarray]
    mean: dict[str, float]
    ci95: Mapping[str, tuple[float, float]]
    left_out: int = 0
    note: str = ""
