"""One exploration step: as many weights grow as are pruned."""

import numpy as np

from dsl_tf.sparsity.selection import highest, lowest
from dsl_tf.types import Exchange


def explore(
    positions: np.ndarray,
    prune_scores: np.ndarray,
    rows: np.ndarray,
    row_active: np.ndarray,
    grow_scores: np.ndarray,
    update_ratio: float,
) -> Exchange:
    """Decide which weights leave and which enter (DSL sec. 3.1.3).

    P are the k = round(ρ_t · nnz) active weights of lowest prune score. The
    candidates are the positions with a growth score above zero that are
    inactive or in P: a weight may be pruned and grown again by the same step
    and then stays as it is, with value and moments. The best min(k, candidates)
    enter; where they are fewer than k, the highest-scoring weights of P stay
    instead. So the budget holds exactly, and nothing enters without a score.
    Ties go to the lower position throughout.

    Args:
      positions: int64 [nnz], ascending positions of the active weights.
      prune_scores: real [nnz].
      rows: int64 [r], ascending rows that have growth scores.
      row_active: bool [r, width], the mask of those rows.
      grow_scores: real [r, width].
      update_ratio: ρ_t in [0, 1].

    Returns:
      The exchange; see `dsl_tf.types.Exchange`.
    """
    width = grow_scores.shape[1]
    asked = int(update_ratio * len(positions) + 0.5)
    leaving = lowest(prune_scores, asked)
    leaving_positions = positions[leaving]

    candidate_rows, candidate_columns = np.nonzero(grow_scores > 0)
    candidates = rows[candidate_rows] * width + candidate_columns
    scores = grow_scores[candidate_rows, candidate_columns]
    inactive = ~row_active[candidate_rows, candidate_columns]
    offered = int(np.count_nonzero(inactive))
    eligible = inactive | _is_in(candidates, leaving_positions)
    candidates, scores = candidates[eligible], scores[eligible]

    entering = candidates[highest(scores, min(asked, len(candidates)))]
    stays = _is_in(leaving_positions, entering)
    shortfall = asked - len(entering)
    if shortfall:
        open_places = np.flatnonzero(~stays)
        filled = highest(prune_scores[leaving][open_places], shortfall)
        stays[open_places[filled]] = True

    pruned = leaving_positions[~stays]
    return Exchange(
        kept=positions[~_is_in(positions, pruned)],
        pruned=pruned,
        grown=entering[~_is_in(entering, leaving_positions)],
        asked=asked,
        offered=offered,
    )


def _is_in(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Bool [n]: which `values` occur in the sorted array `ascending`."""
    if not len(ascending):
        return np.zeros(len(values), bool)
    index = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return ascending[index] == values
