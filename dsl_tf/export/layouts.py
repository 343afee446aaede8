"""Which layout a table gets: the one of fewest bytes, operations included."""

from collections.abc import Sequence

import scipy.sparse

from dsl_tf.export.codings import Extent, encode
from dsl_tf.export.packed import BitmapTable, ColumnsTable
from dsl_tf.export.tables import DenseTable, Table
from dsl_tf.layers.rounding import Rounding
from dsl_tf.plugins import choose

#: Name to the layouts that a table may have.
LAYOUTS: dict[str, tuple[type[Table], ...]] = {
    "small": (DenseTable, BitmapTable, ColumnsTable),
    "fast": (DenseTable, ColumnsTable),
}


def store(
    matrix: scipy.sparse.csr_matrix,
    coding: str,
    layout: str,
    roundings: Sequence[Rounding] = (),
) -> Table:
    """The table in the layout that takes the fewest bytes with what reads it.

    Args:
      matrix: float32 [rows, width], columns ascending in each row.
      coding: a name in `codings.CODINGS`.
      layout: `"small"`, or `"fast"` for a table whose inner products are taken
        with all rows; the bitmap is then left out. Either may come out dense.
      roundings: that training had, see `codings.encode`.
    """
    coded = encode(matrix, coding, roundings)
    return smallest(coded.extent, layout)(coded)


def stored_bytes(
    matrix: scipy.sparse.csr_matrix,
    coding: str,
    layout: str,
    roundings: Sequence[Rounding] = (),
) -> int:
    """Bytes of the table that `store` makes of the same arguments, by formula."""
    return extent_bytes(encode(matrix, coding, roundings).extent, layout)


def extent_bytes(extent: Extent, layout: str) -> int:
    """Bytes of the table that `store` makes of codes of this extent."""
    return smallest(extent, layout).size(extent) + extent.scale_bytes


def smallest(extent: Extent, layout: str) -> type[Table]:
    """The layout that `store` chooses for codes of this extent."""
    kinds = choose(LAYOUTS, layout, "export.layout")
    return min(kinds, key=lambda kind: kind.size(extent) + kind.graph_bytes)
