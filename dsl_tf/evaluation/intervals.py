"""Bootstrap over users: how far a mean would move with other users.

A resample draws as many users as there are, with replacement. What a mean
needs of it is only how often each user was drawn, so a block of resamples is a
matrix of counts, and all their means are one product with the values. Counts
drawn this way are exactly multinomial (Poisson weights would only
approximate them) and every metric sees the same resamples.
"""

import functools
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

RESAMPLES = 1000
#: Counts held at once (8 bytes each).
_BLOCK = 2**20


def _resamples(num_users: int, seed: int) -> Iterator[np.ndarray]:
    """How often each user was drawn, float64 [rows, num_users], in blocks."""
    rng = np.random.default_rng([seed, zlib.crc32(b"bootstrap")])
    block = max(1, _BLOCK // num_users)
    for start in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - start)
        drawn = rng.integers(num_users, size=(rows, num_users))
        drawn += num_users * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * num_users)
        yield counts.reshape(rows, num_users).astype(np.float64)


def _resampled_means(values: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Means of each of `values` [n, m] over `RESAMPLES` resamples of its rows."""
    num_users = len(values[0])
    blocks = [
        [counts @ each / num_users for each in values]
        for counts in _resamples(num_users, seed)
    ]
    return [np.concatenate(means) for means in zip(*blocks, strict=True)]


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
    (means,) = _resampled_means([np.stack(list(per_user.values()), axis=1)], seed)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(per_user)}


class Intervals(Mapping[str, tuple[float, float]]):
    """What `bootstrap` gives, drawn when the first interval is read.

    Most evaluations are asked for their means only.
    """

    def __init__(self, per_user: Mapping[str, np.ndarray], seed: int) -> None:
        self._per_user = per_user
        self._seed = seed

    def __getitem__(self, metric: str) -> tuple[float, float]:
        return self._drawn[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self._per_user)

    def __len__(self) -> int:
        return len(self._per_user)

    def __repr__(self) -> str:
        return repr(self._drawn)

    @functools.cached_property
    def _drawn(self) -> dict[str, tuple[float, float]]:
        return bootstrap(self._per_user, self._seed)


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
    return paired_bootstraps([(a, b)], seed)[0]


def paired_bootstraps(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], seed: int
) -> list[tuple[float, float, float, float]]:
    """What `paired_bootstrap` gives of each pair; all are of the same users.

    The resamples are drawn once for all of them.

    Raises:
      ValueError: as `paired_bootstrap`, or the pairs are of other numbers of users.
    """
    if not pairs:
        return []
    gains = [_gain(a, b) for a, b in pairs]
    if len({len(gain) for gain in gains}) > 1:
        raise ValueError(
            "`pairs` must be over the same users. Received: lengths "
            f"{[len(gain) for gain in gains]}."
        )
    means = _resampled_means([gain[:, None] for gain in gains], seed)
    return [_compared(*each) for each in zip(gains, means, strict=True)]


def _gain(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What each user has more under the first model, float64 [n]."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("`a` and `b` must be finite. Received: other numbers too.")
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(
            "`a` and `b` must be vectors over the same users. Received: shapes "
            f"{a.shape} and {b.shape}."
        )
    return np.asarray(a, np.float64) - np.asarray(b, np.float64)


def _compared(gain: np.ndarray, means: np.ndarray) -> tuple[float, float, float, float]:
    """Of a gain [n] and its resampled means [r, 1]; see `paired_bootstrap`."""
    low, high = np.percentile(means, [2.5, 97.5])
    other_side = min((means <= 0).sum(), (means >= 0).sum())
    p_value = min(1.0, 2.0 * (1 + other_side) / (1 + RESAMPLES))
    return float(gain.mean()), float(low), float(high), float(p_value)
