"""One exploration of one sparse weight: scores, decision, move."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import tf_keras as keras

from dsl_tf.sparsity.exploration import explore, explore_anywhere
from dsl_tf.sparsity.growth import GrowCriterion
from dsl_tf.sparsity.horizon import batches_wanted, rows_wanted
from dsl_tf.sparsity.pruning import PruneCriterion
from dsl_tf.sparsity.selection import Scores
from dsl_tf.storage import slots
from dsl_tf.storage.base import SparseWeight
from dsl_tf.storage.slots import Slot
from dsl_tf.types import Exchange

#: Of a weight, a slot of it and the positions that grow, to the slot with what these
#: begin with.
SecondMoment = Callable[[SparseWeight, Slot, np.ndarray], Slot]

#: Weights whose slots are read at once, or those of one row.
_WEIGHTS_AT_ONCE = 1 << 20


def explore_weight(
    weight: SparseWeight,
    optimizers: Sequence[keras.optimizers.Optimizer],
    prune_criterion: PruneCriterion,
    grow_criterion: GrowCriterion | None,
    update_ratio: float,
    generator: np.random.Generator,
    second_moment: SecondMoment,
) -> tuple[Exchange, int]:
    """Exchange the share ρ_t of a weight.

    Args:
      weight: has a recorder, which is empty afterwards, unless growth is random.
      optimizers: all that may update the weight, and keep moments of it.
      prune_criterion: scores active values.
      grow_criterion: scores recorded gradients; None: what grows is drawn.
      update_ratio: ρ_t in [0, 1].
      generator: for growth at random.
      second_moment: what grown weights begin with, of `SECOND_MOMENTS`.

    Returns:
      The exchange, and in how many rows there was something to choose from.
    """
    read = weight.reader(weight.values)
    ends = functools.cache(lambda: weight.row_begin(np.arange(weight.shape[0] + 1)))

    def prune_scores(start: int, stop: int) -> np.ndarray:
        return prune_criterion(read(start, stop), lambda: use(start, stop))

    def use(start: int, stop: int) -> np.ndarray:
        if weight.use is None:
            return np.ones(stop - start)
        first = np.searchsorted(ends(), start, side="right") - 1
        last = np.searchsorted(ends(), stop)
        counts = np.diff(np.clip(ends()[first : last + 1], start, stop))
        return np.repeat(weight.use[first:last], counts)

    scores = Scores(weight.nnz, prune_scores)
    if grow_criterion is None:
        rows, width = weight.shape
        exchange = explore_anywhere(
            scores, weight.mask_blocks(), rows * width, update_ratio, generator
        )
    else:
        exchange, rows = _by_gradient(weight, scores, grow_criterion, update_ratio)
    every = [s for each in optimizers for s in slots.find(each, weight.values)]
    # An optimiser may be found twice, bare and wrapped; its moments move once.
    found = {id(slot.variable): slot for slot in every}.values()
    moved = [second_moment(weight, slot, exchange.grown) for slot in found]
    weight.adopt(exchange, moved)
    return exchange, rows


def _by_gradient(
    weight: SparseWeight,
    prune_scores: Scores,
    criterion: GrowCriterion,
    update_ratio: float,
) -> tuple[Exchange, int]:
    """What the recorder holds decides; it is empty afterwards."""
    recorder = weight.recorder
    assert recorder is not None
    rows, gradients = (tensor.numpy() for tensor in recorder.recorded())
    exchange = explore(
        prune_scores,
        rows,
        weight.row_begin(rows),
        weight.mask(rows),
        criterion(gradients),
        update_ratio,
    )
    recorder.clear()
    return exchange, len(rows)


def batches_needed(weight: SparseWeight, update_ratio: float) -> float:
    """How many times what was recorded an exploration needs, to have what to grow.

    Args:
      weight: what is explored.
      update_ratio: ρ_t in [0, 1].

    Returns:
      0 where nothing was recorded.
    """
    if weight.recorder is None:
        return 0.0
    touched = len(weight.recorder.recorded()[0])
    if not touched:
        return 0.0
    rows, width = weight.shape
    wanted = rows_wanted(update_ratio * weight.nnz, width * weight.sparsity)
    return batches_wanted(rows, touched, min(wanted, weight.recorder.capacity))


def _zero(weight: SparseWeight, slot: Slot, grown: np.ndarray) -> Slot:
    del weight, grown
    return slot


def _of_the_row(weight: SparseWeight, slot: Slot, grown: np.ndarray) -> Slot:
    """The mean of the active weights in the row; of all these rows in an empty one."""
    if not slot.squares or not len(grown):
        return slot
    rows, which = np.unique(grown // weight.shape[1], return_inverse=True)
    begin, end = weight.row_begin(rows), weight.row_begin(rows + 1)
    read = weight.reader(slot.variable)
    sums = np.zeros(len(rows))
    first = 0
    while first < len(rows):
        start = begin[first]
        after = np.searchsorted(end, start + _WEIGHTS_AT_ONCE, side="right")
        some = slice(first, max(first + 1, int(after)))
        squares = read(start, end[some][-1])
        total = np.concatenate([[0.0], np.cumsum(squares, dtype=np.float64)])
        sums[some] = total[end[some] - start] - total[begin[some] - start]
        first = some.stop
    counts = end - begin
    everywhere = sums.sum() / max(1, counts.sum())
    means = np.where(counts > 0, sums / np.maximum(1, counts), everywhere)
    return slot._replace(grown=means[which])


#: What the squares that an optimiser keeps of a grown weight's gradients begin with.
#: With zero, its steps are longer until there are enough of them: of a steady
#: gradient, Adam's first is 3.2 times the learning rate and its thirteenth 6.6 times.
SECOND_MOMENTS: dict[str, SecondMoment] = {
    "zero": _zero,
    "row": _of_the_row,
}
