import numpy as np
import pytest
import scipy.sparse

from dsl_tf.export.codings import encode
from dsl_tf.export.layouts import store
from dsl_tf.export.packed import BitmapTable, ColumnsTable
from dsl_tf.export.tables import DenseTable

KINDS = (DenseTable, BitmapTable, ColumnsTable)


@pytest.mark.parametrize(
    ("layout", "coding", "sparsity", "kind"),
    [
        ("small", "float32", 0.0, DenseTable),
        ("fast", "float32", 0.0, DenseTable),
        ("small", "float32", 0.5, BitmapTable),
        ("fast", "float32", 0.5, ColumnsTable),
        ("fast", "int8", 0.5, DenseTable),  # a column takes as much as a weight
        ("small", "int4", 0.0, DenseTable),
        ("small", "int8", 0.85, BitmapTable),
        ("small", "int8", 0.9, ColumnsTable),  # beyond the crossing point, 7/8
        ("fast", "int8", 0.85, ColumnsTable),
    ],
)
def test_the_layout_of_fewest_bytes_is_used(layout, coding, sparsity, kind):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2000, 64)).astype(np.float32)
    weights[rng.random(weights.shape) < sparsity] = 0
    matrix = scipy.sparse.csr_matrix(weights)
    table = store(matrix, coding, layout)
    assert type(table) is kind
    coded = encode(matrix, coding)
    allowed = [k for k in KINDS if (layout, k) != ("fast", BitmapTable)]
    assert kind.size(coded.extent) == min(k.size(coded.extent) for k in allowed)
