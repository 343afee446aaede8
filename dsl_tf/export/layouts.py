"""Which layout a table gets: the one of fewest bytes."""

import scipy.sparse

from dsl_tf.export.codings import BFLOAT16, Coded, encode
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
    return _smallest(coded, layout)(coded)


def stored_bytes(matrix: scipy.sparse.csr_matrix, coding: str, layout: str) -> int:
    """Bytes of the table that `store` makes of the same arguments, by formula."""
    coded = encode(matrix, coding)
    # A scale takes two bytes, and two of them a unit.
    scale = BFLOAT16.nbytes(matrix.shape[0]) if coded.scale is not None else 0
    return _smallest(coded, layout).size(coded) + scale


def _smallest(coded: Coded, layout: str) -> type[Table]:
    return min(LAYOUTS[layout], key=lambda kind: kind.size(coded))
