"""PEP (Liu et al., ICLR 2021): learnt thresholds find a mask, which is trained anew.

A row of DSL's Table 3. In the search the table is trained with soft thresholds; with
no penalty of its own the sparsity drifts up. The first time that the weights above
their thresholds are within the budget is the end of the search. The mask, exactly as
many of the weights as the budget has, those farthest above, is then trained from the
initial weights without thresholds.

Where the search gets is mostly where it begins: thresholds that begin far below the
weights stay there, and those above most of them are within the budget before anything
is learnt. So `initial_threshold` is to be chosen for the data, the budget and the
length of training (`SPACE`, on validation). A search that ends outside the budget takes
the weights that are farthest above their thresholds (or least below) all the same,
which is little else than pruning by magnitude; the run says so in a warning.
"""

from typing import Any

import numpy as np
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.layers.soft_threshold import (
    GRANULARITIES,
    SoftThresholdEmbedding,
    SoftThresholdTables,
)
from dsl_tf.methods import _budget, _weights, base, dsl
from dsl_tf.plugins import choose
from dsl_tf.sparsity import initialization
from dsl_tf.sparsity.selection import Scores, highest
from dsl_tf.training.companions import Spells, Thinning
from dsl_tf.types import Split

SETTINGS = {
    # Whose threshold is one number: global, row, dimension or weight.
    "granularity": "weight",
    # S at first; a threshold is sigmoid(S).
    "initial_threshold": -8.0,
}

#: What `python -m dsl_tf.tune` varies; published values of S are from -30 to -6.5, for
#: searches of hundreds of epochs.
SPACE = {
    "method.pep.granularity": ("weight", "row", "dimension", "global"),
    "method.pep.initial_threshold": {"low": -12.0, "high": -1.0},
}

#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """A pass of search, and one with the mask found.

    A pretraining is dense, and without a search; the mask is trained from its weights.
    """
    # Before a pretraining.
    choose(GRANULARITIES, config.method.pep.granularity, "method.pep.granularity")
    initial: list[_weights.State] = []

    def keep(model: Backbone) -> None:
        # V, not what is above the thresholds.
        tables = {each.name: each.embeddings.numpy() for each in thresholded(model)}
        initial.append(_weights.State(tables, _weights.network(model)))
        passes.held_bytes = initial[0].nbytes

    model = passes.backbone(config, make_tables, Search, keep, "search", dsl.make_dense)
    _tell(passes, model, config.sparsity.target)
    masks = found(model, config.sparsity.target)
    del model  # two at a time would double the memory
    passes.held_bytes += sum(mask.nbytes for mask in masks.values())
    start = initial[0].give
    return passes.one(base.SELECT, config, dsl.given(masks), start=start)


def _tell(passes: base.Passes, model: keras.Model, sparsity: float) -> None:
    """Say where the search ended, if it is not within the budget."""
    counts = _counts(model, sparsity)
    above, budget = (sum(each) for each in zip(*counts, strict=True))
    if any(left > most for left, most in counts):
        passes.warn(
            f"The search of pep ended with {above:,} weights above their thresholds, "
            f"more than the {budget:,} asked for: the mask is of those farthest above. "
            "A higher method.pep.initial_threshold or more epochs get further."
        )


def make_tables(
    config: config_dict.ConfigDict, split: Split, seed: int
) -> SoftThresholdTables:
    """Dense tables with thresholds."""
    del seed
    settings = config.method.pep
    return SoftThresholdTables(
        split.num_users,
        split.num_items,
        dsl.joint(config),
        settings.granularity,
        settings.initial_threshold,
    )


def found(model: keras.Model, sparsity: float) -> dict[str, np.ndarray]:
    """Masks of the weights farthest above their thresholds, exactly the budget."""
    masks = {}
    for layer in thresholded(model):
        margins = layer.margins()
        nnz = initialization.budget(margins.shape, sparsity)
        mask = highest(Scores.of(margins.reshape(-1)), nnz)
        masks[layer.name] = mask.reshape(margins.shape)
    return masks


class Search(Thinning):
    """Ends the search when the weights above their thresholds are within the budget.

    Args:
      config: the whole config.
      planned_steps: not read.
      seed: not read.
    """

    def __init__(
        self, config: config_dict.ConfigDict, planned_steps: int, seed: int
    ) -> None:
        del planned_steps, seed
        super().__init__(keras.callbacks.Callback(), Spells())
        self._sparsity = config.sparsity.target

    def row(self, since: int) -> dict[str, Any]:
        """The weights above their thresholds; an epoch is a spell of its end."""
        del since
        model = self.callback.model
        self._spells.end(int(model.optimizer.iterations), model)
        return {"nnz": sum(above for above, _ in _counts(model, self._sparsity))}

    def selectable(self) -> bool:
        """When every table is within its budget."""
        counts = _counts(self.callback.model, self._sparsity)
        return all(above <= budget for above, budget in counts)

    def done(self) -> bool:
        """The first time."""
        return self.selectable()


def _counts(model: keras.Model, sparsity: float) -> list[tuple[int, int]]:
    """Weights of each table above their thresholds, and how many may be."""
    margins = [layer.margins() for layer in thresholded(model)]
    return [
        (int(np.count_nonzero(each > 0)), initialization.budget(each.shape, sparsity))
        for each in margins
    ]


def thresholded(model: keras.Model) -> list[SoftThresholdEmbedding]:
    """The layers with thresholds."""
    layers = model._flatten_layers()
    return [each for each in layers if isinstance(each, SoftThresholdEmbedding)]
