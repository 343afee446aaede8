"""One exploration step: as many weights grow as are pruned."""

from collections.abc import Iterable

import numpy as np

from dsl_tf.sparsity.selection import Scores, highest, lowest
from dsl_tf.types import Exchange


def explore(
    prune_scores: Scores,
    rows: np.ndarray,
    row_begin: np.ndarray,
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

    Memory is a byte an active weight, and O(r · width).

    Args:
      prune_scores: real [nnz], of the active weights in the order of their
        positions.
      rows: int64 [r], ascending rows that have growth scores.
      row_begin: int32 or int64 [r], active weights in all the rows before each of them.
      row_active: bool [r, width], the mask of those rows.
      grow_scores: real [r, width].
      update_ratio: ρ_t in [0, 1].

    Returns:
      The exchange; see `dsl_tf.types.Exchange`.
    """
    asked = _asked(prune_scores, update_ratio)
    leaving = lowest(prune_scores, asked)

    # Where the active weights of these rows stand among all active ones.
    counts = np.count_nonzero(row_active, axis=1).astype(row_begin.dtype)
    before = np.cumsum(counts, dtype=counts.dtype) - counts
    places = np.repeat(row_begin - before, counts)
    places += np.arange(len(places), dtype=places.dtype)
    eligible = ~row_active
    eligible[row_active] = leaving[places]
    eligible &= grow_scores > 0
    available = int(np.count_nonzero(eligible))
    offered = int(np.count_nonzero(eligible & ~row_active))

    candidates = Scores.of(grow_scores.reshape(-1))
    entering = highest(candidates, min(asked, available), eligible.reshape(-1))
    entering = entering.reshape(row_active.shape)
    leaving[places[entering[row_active]]] = False  # grown again: it stays
    entering &= ~row_active

    grown = np.flatnonzero(entering)
    grown += np.repeat(
        (rows - np.arange(len(rows))) * row_active.shape[1],
        np.count_nonzero(entering, axis=1),
    )
    leaving = lowest(prune_scores, len(grown), leaving)
    return Exchange(
        pruned=np.flatnonzero(leaving), grown=grown, asked=asked, offered=offered
    )


def explore_anywhere(
    prune_scores: Scores,
    masks: Iterable[np.ndarray],
    positions: int,
    update_ratio: float,
    generator: np.random.Generator,
) -> Exchange:
    """Decide which weights leave, and draw which enter (SET, Mocanu et al. 2018).

    The k = round(ρ_t · nnz) active weights of lowest prune score leave. As many of all
    the positions that are inactive then, each as likely as any other, enter. One that
    just left may: it stays as it is, with value and moments.

    Memory is a byte an active weight, O(k), and a block of the mask.

    Args:
      prune_scores: real [nnz], of the active weights in the order of their
        positions.
      masks: the mask from the first row to the last, bool [block, width] each.
      positions: of the table, rows · width.
      update_ratio: ρ_t in [0, 1].
      generator: draws.

    Returns:
      The exchange; see `dsl_tf.types.Exchange`.
    """
    asked = _asked(prune_scores, update_ratio)
    leaving = lowest(prune_scores, asked)
    inactive = positions - prune_scores.length
    drawn = _distinct(asked, inactive + asked, generator)

    grown = []
    start = active_before = eligible_before = 0
    for block in masks:
        mask = block.reshape(-1)
        eligible = ~mask
        active = np.flatnonzero(mask)
        eligible[active] = leaving[active_before : active_before + len(active)]
        places = np.flatnonzero(eligible)
        ends = np.searchsorted(drawn, [eligible_before, eligible_before + len(places)])
        entering = places[drawn[slice(*ends)] - eligible_before]
        again = mask[entering]
        stays = np.searchsorted(active, entering[again])
        leaving[active_before + stays] = False
        grown.append(entering[~again] + start)
        start += len(mask)
        active_before += len(active)
        eligible_before += len(places)
    return Exchange(
        pruned=np.flatnonzero(leaving),
        grown=np.concatenate(grown),
        asked=asked,
        offered=inactive,
    )


def _asked(prune_scores: Scores, update_ratio: float) -> int:
    return int(update_ratio * prune_scores.length + 0.5)


def _distinct(count: int, among: int, generator: np.random.Generator) -> np.ndarray:
    """So many of the numbers below `among`, ascending, int64 [count].

    NumPy's own draw without replacement takes memory for all of them.
    """
    if 2 * count > among:
        left_out = _distinct(among - count, among, generator)
        return np.delete(np.arange(among), left_out)
    found = np.zeros(0, np.int64)
    while len(found) < count:
        more = generator.integers(among, size=count - len(found))
        found = np.union1d(found, more)
    return found
