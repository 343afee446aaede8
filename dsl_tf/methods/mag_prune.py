"""Pruning after training, with a floor in each row (MagPrune).

The row of Tran et al.'s benchmark (arXiv 2406.17335): train dense, keep of each table
the weights of largest magnitude, but the k largest of every row in any case; k is
chosen on validation by the metric that selects epochs too, recall at the first cutoff.
Nothing is trained again, and nothing is saved in training.
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np
from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError
from dsl_tf.methods import _budget, _weights, base, dsl
from dsl_tf.sparsity import initialization
from dsl_tf.training.evaluator import selection_metric

SETTINGS = {
    # k, weights of each row that stay in any case; -1: chosen on validation.
    "protected": -1,
}


#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """A dense pass, then the choice of k and the pruned model.

    Raises:
      UserError: `protected` is out of range, or to be chosen without a validation part;
        before the pass.
    """
    sparsity = config.sparsity.target
    new = _weights.tables(passes.untrained(config, dsl.make_dense))
    most = min(most_protected(table.shape, sparsity) for table in new.values())
    del new  # two at a time would double the memory
    protected = config.method.mag_prune.protected
    if not -1 <= protected <= most:
        raise UserError(
            "`method.mag_prune.protected` must be from -1 to the mean number of "
            f"weights a row, {most}. Received: {protected}."
        )
    if protected < 0:
        passes.check_validation(config)
    model = passes.backbone(config, dsl.make_dense)
    trained = _weights.State.of(model)
    if protected < 0:
        metric = selection_metric(config.evaluation.cutoffs)

        def quality(protected: int) -> float:
            masks = protecting(trained.tables, sparsity, protected)
            pruned = {n: table * masks[n] for n, table in trained.tables.items()}
            _weights.set_tables(model, pruned)
            return passes.validation(model, config)[metric]

        protected = passes.choose("protected", lambda: peak(quality, most))
    masks = protecting(trained.tables, sparsity, protected)
    pruned = passes.untrained(config, dsl.given(masks), trained.give)
    passes.report_validation(pruned, config)
    return pruned


def most_protected(shape: tuple[int, int], sparsity: float) -> int:
    """The most weights that every row of a table can keep within its budget."""
    return initialization.budget(shape, sparsity) // shape[0]


def protecting(
    values: Mapping[str, np.ndarray], sparsity: float, protected: int
) -> dict[str, np.ndarray]:
    """Masks of the weights of largest magnitude, with a floor in each row.

    Args:
      values: tables, float32 [rows, width], by name.
      sparsity: s, the share of each table that goes.
      protected: k, weights of each row that stay in any case; ties go to the first
        columns.

    Returns:
      bool [rows, width] by name, each with exactly its budget.
    """
    raised = {}
    for name, table in values.items():
        score = np.abs(table)
        order = np.argsort(-score, axis=1, kind="stable")[:, :protected]
        np.put_along_axis(score, order, np.inf, axis=1)
        raised[name] = score
    return _weights.largest(raised, sparsity)


def peak(quality: Callable[[int], float], most: int) -> int:
    """The number from 0 to `most` of greatest quality, which rises and then falls.

    By bisection of the slope, as the authors search; on a plateau, the left side.
    """
    quality = functools.cache(quality)
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if quality(middle) < quality(middle + 1):
            low = middle + 1
        else:
            high = middle
    return low
