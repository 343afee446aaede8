"""Bootstrap over users: how far a mean would move with other users.

A resample draws as many users as there are, with replacement. What a mean
needs of it is only how often each user was drawn, so a block of resamples is a
matrix of counts, and all their means are one product with the values. Counts
drawn this way are exactly multinomial (Poisson weights would only
approximate them) and every metric sees the same resamples.
"""

import zlib
from collections.abc import Mapping

import numpy as np

RESAMPLES = 1000
#: Counts held at once (8 bytes each).
_BLOCK = 2**20


def _resampled_means(values: np.ndarray, seed: int) -> np.ndarray:
    """Means of `values` [n, m] over `RESAMPLES` resamples of its rows."""
    rng = np.random.default_rng([seed, zlib.crc32(b"bootstrap")])
    num_users = len(values)
    block = max(1, _BLOCK // num_users)
    means = []
    for start in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - start)
        drawn = rng.integers(num_users, size=(rows, num_users))
        drawn += num_users * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * num_users)
        means.append(counts.reshape(rows, num_users) @ values / num_users)
    return np.concatenate(means)


def bootstrap(
    per_user: Mapping[str, np.ndarray], seed: int
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of the means over users.

    Args:
      per_user: metric name to float64 [n], the same n >= 1 for all.
      seed: the run's seed; the same seed gives the same interval.

    Returns:
      Metric name to (low, high).
    """
    if not per_user:
        return {}
    means = _resampled_means(np.stack(list(per_user.values()), axis=1), seed)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(per_user)}


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, seed: int
) -> tuple[float, float, float, float]:
    """Compares two models by one metric on the same users.

    Args:
      a: float64 [n], the metric of each user under the first model.
      b: float64 [n], under the second, in the same order of users.
      seed: seed of the resamples.

    Returns:
      The difference of the means, a - b; low and high of its 95 % percentile
      interval; and the two-sided p-value, twice the share of resamples whose
      difference is not on the side of the observed one (the observed one
      counted as a resample, so it is never 0; at most 1).

    Raises:
      ValueError: the two are not vectors of one length, or empty, or not finite.
    """
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("`a` and `b` must be finite. Received: other numbers too.")
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(
            "`a` and `b` must be vectors over the same users. Received: shapes "
            f"{a.shape} and {b.shape}."
        )
    gain = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    means = _resampled_means(gain[:, None], seed)[:, 0]
    low, high = np.percentile(means, [2.5, 97.5])
    other_side = min((means <= 0).sum(), (means >= 0).sum())
    p_value = min(1.0, 2.0 * (1 + other_side) / (1 + RESAMPLES))
    return float(gain.mean()), float(low), float(high), float(p_value)
