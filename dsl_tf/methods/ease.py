"""EASE^R (Steck, WWW 2019): the best linear autoencoder, in closed form.

With X the binary matrix of interactions and P = (X^T X + λ I)^-1,

    B = I - P diag(1 / diag(P)),

whose diagonal is zero (eq. 8); the scores are X B. λ is chosen on validation. One of
the rows without a neural network that every comparison should show.
"""

import functools
import os
from collections.abc import Sequence

import numpy as np
import scipy.linalg
from ml_collections import config_dict

from dsl_tf.accounting.macs import TrainingMacs
from dsl_tf.backbones._similarity import ItemSimilarity
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError, check_keys
from dsl_tf.methods import base
from dsl_tf.types import Split

#: `sparsity.target` is not read: no weight is left out.
READS_SPARSITY = False

SETTINGS = {
    # λ; 0: chosen on validation.
    "regularization": 0.0,
}

#: What is tried; published values are between 200 and 1,000.
_TRIED = ((30.0,), (100.0,), (300.0,), (1000.0,), (3000.0,))


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One solution; to choose λ, one for each value tried."""
    regularization = config.method.ease.regularization
    check_keys(
        "method.ease",
        config.method.ease,
        regularization=(regularization >= 0, "at least 0"),
    )
    check_memory(passes.split.num_items)

    def solve(regularization: float) -> Backbone:
        return ItemSimilarity(
            passes.split, weights(passes.split, regularization), "ease"
        )

    counts = passes.split.activity().astype(np.int64)
    taken = TrainingMacs(int((counts**2).sum()) + passes.split.num_items**3, 0, 0)
    chosen: Sequence[float] = (regularization,)
    if not regularization:
        chosen = passes.best_of("regularization", _TRIED, solve, config, taken)
    model = passes.solved(functools.partial(solve, *chosen), taken)
    passes.report_validation(model, config)
    return model


def weights(split: Split, regularization: float) -> np.ndarray:
    """B, float32 [num_items, num_items], its diagonal zero.

    Raises:
      UserError: λ is too small for the matrix to be inverted in float32.
    """
    matrix = split.train.csr(split.num_users, split.num_items).astype(np.float32)
    gram = (matrix.T @ matrix).toarray()
    gram[np.diag_indices_from(gram)] += regularization
    # Symmetric and positive: by Cholesky, in place.
    try:
        factor = scipy.linalg.cholesky(gram, lower=True, overwrite_a=True)
    except np.linalg.LinAlgError:
        raise UserError(
            "`method.ease.regularization` must be large enough for the matrix of items "
            f"by items to be inverted in float32. Received: {regularization}."
        ) from None
    inverse, _ = scipy.linalg.lapack.spotri(factor, lower=True, overwrite_c=True)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    inverse /= -np.diag(inverse)
    np.fill_diagonal(inverse, 0.0)
    return inverse


def check_memory(num_items: int) -> None:
    """Refuses catalogues whose matrices do not fit.

    Raises:
      UserError: three matrices of float32 are more than the machine's memory.
    """
    needed = 3 * 4 * num_items**2
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UserError(
            "EASE needs memory for three matrices of items by items, here "
            f"{needed / 1e9:.1f} GB. Received: {num_items:,} items, "
            f"{there / 1e9:.1f} GB."
        )
