"""Pick the k lowest or highest scores exactly, by threshold, not by sorting."""

import numpy as np


def lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """Mark the `count` lowest scores; ties go to the lower position.

    Args:
      scores: real [n]; NaN comes last.
      count: how many to mark, in [0, n].

    Returns:
      bool [n] with exactly `count` True. Takes O(n), not O(n log n).
    """
    if not 0 <= count <= len(scores):
        raise ValueError(
            f"`count` must be in [0, {len(scores)}]. Received: count={count}."
        )
    if count in (0, len(scores)):
        return np.full(len(scores), count > 0)
    threshold = np.partition(scores, count - 1)[count - 1]
    if np.isnan(threshold):
        ties = np.flatnonzero(np.isnan(scores))
        chosen = ~np.isnan(scores)
    else:
        ties = np.flatnonzero(scores == threshold)
        chosen = scores < threshold
    chosen[ties[: count - np.count_nonzero(chosen)]] = True
    return chosen


def highest(scores: np.ndarray, count: int) -> np.ndarray:
    """Mark the `count` highest scores; ties go to the lower position.

    Args:
      scores: real [n]; NaN comes last.
      count: how many to mark, in [0, n].

    Returns:
      bool [n] with exactly `count` True.
    """
    return lowest(-scores, count)
