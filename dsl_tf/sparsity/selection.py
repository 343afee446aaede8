"""Exact selection by score: a threshold is found, nothing is sorted."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

#: Scores read at a time.
BLOCK = 1 << 20

#: The sample that tells where to look for a threshold: so many runs of scores.
_RUNS, _RUN = 64, 1 << 13

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
    low, high = _bracket(scores, count / available, among)
    while True:
        chosen, places, near = _split(scores, low, high, among)
        missing = count - int(np.count_nonzero(chosen))
        if missing <= 0:
            low = -np.inf
        elif missing <= len(near):
            threshold = np.partition(near, missing - 1)[missing - 1]
            below = near < threshold
            ties = np.flatnonzero(near == threshold)
            chosen[places[below]] = True
            chosen[places[ties[: missing - np.count_nonzero(below)]]] = True
            return chosen
        elif high < np.inf:
            high = np.inf
        else:  # only NaN is left
            chosen[places] = True
            left = np.flatnonzero(~chosen if among is None else among & ~chosen)
            chosen[left[: missing - len(near)]] = True
            return chosen


def highest(scores: Scores, count: int, among: np.ndarray | None = None) -> np.ndarray:
    """Mark the `count` highest scores; ties go to the lower position.

    The arguments are those of `lowest`.
    """
    return lowest(scores.negative(), count, among)


def _bracket(
    scores: Scores, share: float, among: np.ndarray | None
) -> tuple[float, float]:
    """Two scores between which the threshold probably lies."""
    step = max(_RUN, scores.length // _RUNS)
    runs = []
    for start in range(0, scores.length, step):
        stop = min(start + _RUN, scores.length)
        run = scores.read(start, stop)
        runs.append(run if among is None else run[among[start:stop]])
    sample = np.concatenate(runs)
    sample = np.sort(sample[~np.isnan(sample)])
    margin = _MARGIN * (len(sample) * share * (1 - share)) ** 0.5 + 1
    low, high = (int(share * len(sample) + sign * margin) for sign in (-1, 1))
    return (
        float(sample[low]) if 0 <= low < len(sample) else -np.inf,
        float(sample[high]) if high < len(sample) else np.inf,
    )


def _split(
    scores: Scores, low: float, high: float, among: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which scores lie below `low`, and those in [low, high].

    Returns:
      bool [n]; the places int64 [m] and the scores [m] of the latter.
    """
    below = np.empty(scores.length, bool)
    places, near = [], []
    for start, stop in _blocks(scores.length):
        block = scores.read(start, stop)
        inside = (block >= low) & (block <= high)
        np.less(block, low, out=below[start:stop])
        if among is not None:
            inside &= among[start:stop]
            below[start:stop] &= among[start:stop]
        found = np.flatnonzero(inside)
        places.append(found + start)
        near.append(block[found])
    return below, np.concatenate(places), np.concatenate(near)


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, BLOCK):
        yield start, min(start + BLOCK, length)
