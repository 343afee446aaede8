"""Item k-nearest neighbours (Sarwar et al. 2001): cosine similarity, shrunk.

    sim(i, j) = |U_i ∩ U_j| / (sqrt(|U_i| |U_j|) + h),

of which each item keeps the k greatest; the score of j is the sum over the user's
items. k and h are chosen on validation. One of the rows without a neural network that
every comparison should show.
"""

import functools
from collections.abc import Sequence

import numpy as np
import scipy.sparse
from ml_collections import config_dict

from dsl_tf.accounting.macs import TrainingMacs
from dsl_tf.backbones._similarity import ItemSimilarity
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import check_keys
from dsl_tf.methods import base
from dsl_tf.types import Split

#: `sparsity.target` is not read: no weight is left out.
READS_SPARSITY = False

SETTINGS = {
    # k, of each item; 0: k and h are chosen on validation.
    "neighbours": 0,
    # h.
    "shrinkage": 0.0,
}

#: What is tried: k and h.
_TRIED = tuple((k, h) for k in (20, 50, 100, 200) for h in (0.0, 10.0))
#: Items whose similarities are in memory at a time.
_ITEMS_AT_ONCE = 1024


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One count; to choose k and h, one for each of those tried."""
    settings = config.method.item_knn
    check_keys(
        "method.item_knn",
        settings,
        neighbours=(settings.neighbours >= 0, "at least 0"),
        shrinkage=(settings.shrinkage >= 0, "at least 0"),
    )

    def count(neighbours: float, shrinkage: float) -> Backbone:
        found = similarities(passes.split, int(neighbours), shrinkage)
        return ItemSimilarity(passes.split, found, "item_knn")

    counts = passes.split.activity().astype(np.int64)
    taken = TrainingMacs(int((counts**2).sum()), 0, 0)
    chosen: Sequence[float] = (settings.neighbours, settings.shrinkage)
    if not settings.neighbours:
        chosen = passes.best_of("neighbours", _TRIED, count, config, taken)
    model = passes.solved(functools.partial(count, *chosen), taken)
    passes.report_validation(model, config)
    return model


def similarities(
    split: Split, neighbours: int, shrinkage: float
) -> scipy.sparse.csr_matrix:
    """The k greatest of each item's column, float32 [num_items, num_items].

    Args:
      split: its training part is counted.
      neighbours: k; of equal ones the first items.
      shrinkage: h.
    """
    matrix = split.train.csr(split.num_users, split.num_items).astype(np.float32)
    by_item = matrix.T.tocsr()
    norm = np.sqrt(np.asarray(by_item.sum(axis=1)).ravel())
    kept = []
    for start in range(0, split.num_items, _ITEMS_AT_ONCE):
        stop = min(start + _ITEMS_AT_ONCE, split.num_items)
        both = (by_item[start:stop] @ matrix).toarray()
        both /= np.maximum(norm[start:stop, None] * norm + shrinkage, 1e-12)
        both[np.arange(stop - start), np.arange(start, stop)] = 0.0
        order = np.argsort(-both, axis=1, kind="stable")[:, :neighbours]
        rows = np.repeat(np.arange(stop - start), order.shape[1])
        block = scipy.sparse.csr_matrix(
            (both[rows, order.ravel()], (rows, order.ravel())), both.shape
        )
        block.eliminate_zeros()
        kept.append(block)
    # A row is what the item of a column is scored by.
    found = scipy.sparse.vstack(kept).T.tocsr().astype(np.float32)
    found.sort_indices()
    return found
