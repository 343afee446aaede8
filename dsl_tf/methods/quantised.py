"""Quantisation after training: a dense pass, then a few bits a weight.

Each row of a table gets a scale of its own and codes symmetric about zero, and what is
tested is the model of such rows. A file has the same where its rows are those of one
table; where they are of two side by side (NeuMF) they share a scale there, and a graph
model's are rounded after the propagation: `files_metrics` in `cost.json` is of the file
itself. A dense int8 table takes a quarter of the bytes of float32 and is the row to
beat at equal bytes.
"""

import numpy as np
import scipy.sparse
from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.export.quantize import INT4_LIMIT, INT8_LIMIT, quantize_rows
from dsl_tf.methods import _budget, _weights, base, dense
from dsl_tf.plugins import choose

#: `sparsity.target` is not read: no weight is left out.
READS_SPARSITY = False

SETTINGS = {
    # Of a code: 8 or 4.
    "bits": 8,
}

_LIMITS = {8: INT8_LIMIT, 4: INT4_LIMIT}

#: A budget in bytes leaves so many bits.
within_bytes = _budget.by_bits


def train(passes: base.Passes, config: config_dict.ConfigDict) -> Backbone:
    """One dense pass; what is handed back has quantised tables."""
    limit = choose(_LIMITS, config.method.quantised.bits, "method.quantised.bits")
    model = passes.backbone(config, dense.make_tables)
    tables = _weights.tables(model)
    _weights.set_tables(
        model, {name: rounded(table, limit) for name, table in tables.items()}
    )
    passes.report_validation(model, config)
    return model


def rounded(table: np.ndarray, limit: int) -> np.ndarray:
    """A table as its codes give it back, float32 [rows, width].

    Args:
      table: float32 [rows, width].
      limit: the largest code.
    """
    rows, width = table.shape
    starts = np.arange(0, rows * width + 1, width)
    columns = np.tile(np.arange(width), rows)
    matrix = scipy.sparse.csr_matrix((table.reshape(-1), columns, starts), table.shape)
    codes, scale = quantize_rows(matrix, limit)
    return codes.reshape(rows, width).astype(np.float32) * scale[:, None]
