"""SparseRec (Qu et al. 2024, arXiv 2411.12205): DSL with three changes.

The paper's abstract is all that this is built on, so its settings are our reading:

1. The first mask comes from a non-negative matrix factorisation of the interactions
   instead of a random draw (`dsl_tf.sparsity.nmf`); a later record of the paper does
   not mention it, so `nmf=False` leaves it out.
2. What grows is chosen by the gradients summed over the whole interval, not by those of
   its last batch.
3. Gradients of inactive positions are there for a sample of important rows only,
   drawn for each interval in proportion to the interactions of a user or item. All
   other rows have gradients at active positions.

They are a mask, a horizon and a setting of the recorder of the one engine. With packed
tables no gradient of a table's shape exists in any case. That of a graph model's table
comes in blocks of rows, each with all its columns: the sample saves memory there, and
no products. TensorFlow has no product that is computed at given places, and one made
of gathers takes longer than that of all rows even at s = .95
(`python -m benchmarks.last_hop`).
"""

import dataclasses
import functools

from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import check_keys
from dsl_tf.layers.tables import SparseTables
from dsl_tf.methods import _budget, _factors, base, dsl
from dsl_tf.sparsity import initialization
from dsl_tf.sparsity.initialization import GivenMask
from dsl_tf.sparsity.nmf import NmfMasks
from dsl_tf.training.companions import Explorations
from dsl_tf.types import Split

SETTINGS = {
    # Whether the first mask comes from a factorisation.
    "nmf": True,
    # Of the factorisation, at most.
    "nmf_iterations": 50,
    # Share of the rows that can grow, in each interval.
    "sampled_rows": 0.5,
}

#: What `python -m dsl_tf.tune` varies, beside what it does of `dsl`.
SPACE_OF = "dsl"
SPACE = {
    "method.sparserec.nmf": (True, False),
    "method.sparserec.sampled_rows": {"low": 0.1, "high": 1.0},
}


#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass, sparse from the first step; `growth.horizon` is not read."""
    settings = config.method.sparserec
    check_keys(
        "method.sparserec",
        settings,
        nmf_iterations=(settings.nmf_iterations >= 1, "at least 1"),
        sampled_rows=(0 < settings.sampled_rows <= 1, "in (0, 1]"),
    )
    masks = None
    if settings.nmf and config.sparsity.target:
        masks = _factors.factored(passes, config, settings.nmf_iterations)
    tables = functools.partial(make_tables, masks=masks)
    start = _factors.forgetting(passes, masks)
    return passes.backbone(config, tables, explorations, start)


def make_tables(
    config: config_dict.ConfigDict,
    split: Split,
    seed: int,
    masks: NmfMasks | None = None,
) -> SparseTables:
    """The tables of `dsl`, with the masks of a factorisation if there are any."""
    tables = dsl.make_tables(config, split, seed)
    if masks is None:
        return tables
    rows = {"users": split.num_users, "items": split.num_items}
    rows["both"] = sum(rows.values())

    def mask(name: str, kind: str, width: int) -> GivenMask:
        del name
        nnz = initialization.budget((rows[kind], width), config.sparsity.target)
        return GivenMask(masks.mask(kind, width, nnz))

    return dataclasses.replace(tables, masks=mask)


def explorations(
    config: config_dict.ConfigDict, planned_steps: int, seed: int
) -> Explorations:
    """Those of `dsl`, over whole intervals and sampled rows."""
    dynamic = dsl.make_dynamic(
        config,
        planned_steps,
        seed,
        horizon=dsl.interval(config, planned_steps),
        sampled_rows=config.method.sparserec.sampled_rows,
    )
    return Explorations(dynamic)
