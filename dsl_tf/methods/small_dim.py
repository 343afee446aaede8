"""A dense table, only narrower: what a sparse one has to be better than.

The widths of the tables are multiplied by 1 - s and rounded down, so that the bytes
are at most those of the non-zeros of a sparse run, whose positions cost some more.
"""

from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.methods import _budget, base, dense
from dsl_tf.methods._narrow import narrowed

#: A budget in bytes leaves so many columns.
within_bytes = _budget.by_width


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One dense pass of a narrower backbone."""
    config = narrowed(config, 1.0 - config.sparsity.target)
    return passes.backbone(config, dense.make_tables)
