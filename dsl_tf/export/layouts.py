"""Which layout a table gets: the one of fewest bytes."""

import scipy.sparse

from dsl_tf.export.codings import encode
from dsl_tf.export.packed import BitmapTable, ColumnsTable
from dsl_tf.export.tables import DenseTable, Table

#: Name to the layouts that a table may have.
LAYOUTS: dict[str, tuple[type[Table], ...]] = {
    "small": (DenseTable, BitmapTable, ColumnsTable),
    "fast": (DenseTable, ColumnsTable),
}


def store(matrix: scipy.sparse.csr_matrix, coding: str, layout: str) -> Table:
    """The table in the layout that takes the fewest bytes.

    Args:
      matrix: float32 [rows, width], columns ascending in each row.
      coding: a name in `codings.CODINGS`.
      layout: `"small"`, or `"fast"` for a table whose inner products are taken
        with all rows; the bitmap is then left out. Either may come out dense.
    """
    coded = encode(matrix, coding)
    kind = min(LAYOUTS[layout], key=lambda kind: kind.size(coded))
    return kind(coded)
