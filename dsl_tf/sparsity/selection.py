"""Exact selection by score: a threshold is found, nothing is sorted."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

T = TypeVar("T")

#: Scores read at a time.
BLOCK = 1 << 20

#: The sample that tells where to look for a threshold: runs of scores, evenly
#: spread. They are many, as parts of a vector may differ: users come before items.
_RUNS, _RUN = 128, 1 << 12

#: How far from the guess it is looked for first, in standard deviations.
_MARGIN = 6.0


@dataclasses.dataclass(frozen=True)
class Scores:
    """A long vector of scores that is never whole in memory.

    Attributes:
      length: n, scores in all.
      read: gives the scores of [start, stop); the same at each call.
    """

    length: int
    read: Callable[[int, int], np.ndarray]

    @classmethod
    def of(cls, scores: np.ndarray) -> "Scores":
        """A vector that is in memory."""
        return cls(len(scores), lambda start, stop: scores[start:stop])

    def negative(self) -> "Scores":
        """Each score with the other sign."""
        return Scores(self.length, lambda start, stop: -self.read(start, stop))


def lowest(scores: Scores, count: int, among: np.ndarray | None = None) -> np.ndarray:
    """Mark the `count` lowest scores; ties go to the lower position.

    Args:
      scores: real [n]; NaN comes last.
      count: how many to mark, in [0, n], or in [0, those in `among`].
      among: bool [n], the scores that can be marked; None means all.

    Returns:
      bool [n] with exactly `count` True. Takes O(n), not O(n log n), and beside
      the result memory for the scores near the threshold only.
    """
    available = scores.length if among is None else int(np.count_nonzero(among))
    if not 0 <= count <= available:
        raise ValueError(
            f"`count` must be in [0, {available}]. Received: count={count}."
        )
    if count in (0, available):
        chosen = np.full(scores.length, count > 0)
        return chosen if among is None or not count else among.copy()
    threshold, ties = _threshold(scores, count, available, among)
    chosen = np.empty(scores.length, bool)

    def mark(start: int, stop: int) -> np.ndarray:
        """Mark those below the threshold; which are equal to it, as bits."""
        block, part = scores.read(start, stop), chosen[start:stop]
        if np.isnan(threshold):
            tied = np.isnan(block)
            np.logical_not(tied, out=part)
        else:
            tied = block == threshold
            np.less(block, threshold, out=part)
        if among is not None:
            tied &= among[start:stop]
            part &= among[start:stop]
        return np.packbits(tied)

    blocks = list(_blocks(scores.length))
    for (start, stop), bits in zip(blocks, _each(mark, blocks), strict=True):
        if not ties:
            break
        places = np.flatnonzero(np.unpackbits(bits, count=stop - start))[:ties]
        chosen[start:stop][places] = True
        ties -= len(places)
    return chosen


def highest(scores: Scores, count: int, among: np.ndarray | None = None) -> np.ndarray:
    """Mark the `count` highest scores; ties go to the lower position.

    The arguments are those of `lowest`.
    """
    return lowest(scores.negative(), count, among)


def _threshold(
    scores: Scores, count: int, available: int, among: np.ndarray | None
) -> tuple[float, int]:
    """The `count`-th lowest score, and how many equal to it are among the lowest.

    A sample tells between which two scores it probably lies; what lies there is
    few and is partitioned. Scores equal to the two are counted, not kept: many
    weights are exactly zero.
    """
    sample, margin = _sample(scores, among), _MARGIN
    while True:
        low, high = _bracket(sample, count / available, margin)

        def divide(
            start: int, stop: int, low: float = low, high: float = high
        ) -> tuple[np.ndarray, np.ndarray]:
            block = scores.read(start, stop)
            if among is not None:  # nothing compares with NaN
                block = np.where(among[start:stop], block, np.nan)
            parts = [block < low, block == low, (block == high) & (high > low)]
            counts = np.array([np.count_nonzero(part) for part in parts])
            return counts, block[(block > low) & (block < high)]

        divided = _each(divide, list(_blocks(scores.length)))
        counts = np.sum([counts for counts, _ in divided], axis=0)
        below, at_low, at_high = (int(count) for count in counts)
        inside = np.concatenate([between for _, between in divided])
        rank = count - below
        if 0 < rank <= at_low:
            return low, rank
        rank -= at_low
        if 0 < rank <= len(inside):
            threshold = np.partition(inside, rank - 1)[rank - 1]
            return float(threshold), rank - int(np.count_nonzero(inside < threshold))
        rank -= len(inside)
        if 0 < rank <= at_high:
            return high, rank
        if rank > 0 and high == np.inf:  # only NaN is left
            return float("nan"), rank - at_high
        margin *= 8.0


def _sample(scores: Scores, among: np.ndarray | None) -> np.ndarray:
    """Some of the scores, sorted, without NaN."""
    step, drawn = max(_RUN, scores.length // _RUNS), []
    for start in range(0, scores.length, step):
        stop = min(start + _RUN, scores.length)
        run = scores.read(start, stop)
        drawn.append(run if among is None else run[among[start:stop]])
    sample = np.concatenate(drawn)
    return np.sort(sample[~np.isnan(sample)])


def _bracket(sample: np.ndarray, share: float, margin: float) -> tuple[float, float]:
    """The scores `margin` standard deviations around a share of the sample."""
    distance = margin * ((len(sample) * share * (1 - share)) ** 0.5 + 1)
    low, high = (int(share * len(sample) + sign * distance) for sign in (-1, 1))
    return (
        float(sample[low]) if 0 <= low < len(sample) else -np.inf,
        float(sample[high]) if high < len(sample) else np.inf,
    )


def _each(work: Callable[[int, int], T], blocks: Sequence[tuple[int, int]]) -> list[T]:
    """Work on all blocks, some at a time: NumPy lets threads run side by side."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda block: work(*block), blocks))


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, BLOCK):
        yield start, min(start + BLOCK, length)
