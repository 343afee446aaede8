"""DSL for few bytes: what is left of the weights lies where it is needed.

The engine of DSL with three changes:
1. What grows is chosen by the gradients summed over the whole interval, as SparseRec
   does it (Qu et al. 2024), and not by those of its last batches.
2. The first mask comes from a factorisation of the interactions, as SparseRec's. An
   inner product sees a column only where both rows have a weight: of random columns two
   rows that keep a tenth each share a hundredth; the factorisation has a user and the
   user's items in the same ones. Without it, weights in proportion to a power of a
   row's interactions, in its first columns (`nested`) or in random ones: DSL ends with
   more weights in popular rows (its Figure 4).
3. Where the file is to have weights of four bits, training sees the rows that it looks
   up rounded as the file has them, see `dsl_tf.layers.rounding`. Narrow rows have one
   step for a table, and the bytes of a step for each row are columns: MF on
   MovieLens-1M is 20 % better on validation with 8 of them instead of 4, 2.1 % with 16
   instead of 12, and 1.1 % worse with 24 instead of 20. (A graph model reads its table
   whole, an autoencoder by products: their rows are not rounded, only those of
   backbones that say so, by `LOOKED_UP`. NeuMF's wider ones are, each table's by a
   scale of its own, where its file has one for both.)
"""

import dataclasses
import functools
import math
from typing import Any

from ml_collections import config_dict

from dsl_tf import plugins
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError, check_keys
from dsl_tf.export.quantize import INT4_LIMIT
from dsl_tf.layers.tables import SparseTables
from dsl_tf.methods import _budget, _factors, base, dsl
from dsl_tf.sparsity.initialization import (
    GivenMask,
    QuotaMask,
    budget,
    quotas_by_use,
)
from dsl_tf.sparsity.nmf import NmfMasks
from dsl_tf.training.companions import Explorations
from dsl_tf.types import Split

SETTINGS = {
    # Of the first weights: factors, the largest of a factorisation of the interactions;
    # of each row nested, the first so many; or random.
    "columns": "factors",
    # Of a row's interactions, to which its first weights are in proportion where they
    # are nested or random; 0: equal.
    "popularity_power": 0.5,
    # Of that factorisation, at most.
    "nmf_iterations": 50,
    # Codes that rows are rounded to in training: int4; none; or those of the file that
    # `budget.bytes` picks.
    "codes": "file",
}

#: What `python -m dsl_tf.tune` varies, beside what it does of `dsl`.
SPACE_OF = "dsl"
SPACE = {
    "method.dsl_plus.columns": ("factors", "nested", "random"),
    "method.dsl_plus.popularity_power": {"low": 0.0, "high": 1.0},
}

#: Values of `columns`, to whether they are the first ones.
_NESTED = {"nested": True, "random": False, "factors": False}

#: Values of `codes`, and formats, to the largest code; more bits lose nothing.
_LARGEST = {"int4": INT4_LIMIT, "none": 0}
_LARGEST_OF_FILE = {"tflite_int4": INT4_LIMIT}

#: Rows of more columns have a step of their own.
_NARROW = 16

#: A budget in bytes leaves so many weights.
within_bytes = _budget.by_sparsity


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One pass, sparse from the first step; `growth.horizon` is not read."""
    settings = config.method.dsl_plus
    check_keys(
        "method.dsl_plus",
        settings,
        popularity_power=(
            0 <= settings.popularity_power < math.inf,
            "at least 0, and finite",
        ),
        nmf_iterations=(settings.nmf_iterations >= 1, "at least 1"),
    )
    factors = None
    if settings.columns == "factors" and config.sparsity.target:
        factors = _factors.factored(passes, config, settings.nmf_iterations)
    tables = functools.partial(make_tables, factors=factors)
    start = _factors.forgetting(passes, factors)
    return passes.backbone(config, tables, explorations, start)


def make_tables(
    config: config_dict.ConfigDict,
    split: Split,
    seed: int,
    factors: NmfMasks | None = None,
) -> SparseTables:
    """The tables of `dsl`, with a mask that is not drawn at random.

    Args:
      config: the whole config.
      split: what is trained on.
      seed: of initial weights and masks.
      factors: masks of a factorisation, if there is one; with `columns=factors` and
        without it a mask of as many weights stands in.
    """
    tables = dsl.make_tables(config, split, seed)
    power = config.method.dsl_plus.popularity_power
    nested = plugins.choose(
        _NESTED, config.method.dsl_plus.columns, "method.dsl_plus.columns"
    )

    def mask(name: str, kind: str, width: int) -> QuotaMask | GivenMask:
        del name
        use = tables.use(kind)
        nnz = budget((len(use), width), config.sparsity.target)
        if factors is not None:
            return GivenMask(factors.mask(kind, width, nnz))
        return QuotaMask(quotas_by_use(use, width, nnz, power), width, nested)

    rounded = rounding(config, config.budget.format)
    return dataclasses.replace(tables, masks=mask, rounding=rounded)


def rounding(config: config_dict.ConfigDict, file: str) -> dict[str, Any]:
    """How rows are rounded in training: `largest_code` and `step` of `SparseEmbedding`.

    Args:
      config: the whole config.
      file: the format that the rows are trained for.

    Raises:
      UserError: rows are to be rounded of a backbone that reads others too.
    """
    codes = config.method.dsl_plus.codes
    of_file = _LARGEST_OF_FILE.get(file, 0)
    largest = plugins.choose(
        {**_LARGEST, "file": of_file}, codes, "method.dsl_plus.codes"
    )
    backbone = plugins.find("dsl_tf.backbones", config.model.name, "backbone")
    widths = getattr(backbone, "LOOKED_UP", ())
    if not widths:
        if codes in _LARGEST and largest:
            raise UserError(
                "`method.dsl_plus.codes` must be file or none where training reads "
                "more of a table than the rows that it looks up. Received: "
                f"model.name={config.model.name}, method.dsl_plus.codes={codes}."
            )
        return {}
    columns = sum(config.model[key] for key in widths)
    return {"largest_code": largest, "step": "table" if columns <= _NARROW else "row"}


def explorations(
    config: config_dict.ConfigDict, planned_steps: int, seed: int
) -> Explorations:
    """Those of `dsl`, over whole intervals."""
    whole = dsl.interval(config, planned_steps)
    return Explorations(dsl.make_dynamic(config, planned_steps, seed, horizon=whole))
