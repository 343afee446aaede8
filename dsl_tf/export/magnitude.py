"""Tables cut down to a number of bytes: their smallest weights are left out."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import scipy.sparse

from dsl_tf.errors import UserError
from dsl_tf.export.frozen import FrozenModel
from dsl_tf.export.layouts import stored_bytes


def within_bytes(
    frozen: FrozenModel, coding: str, layouts: Mapping[str, str], limit: int
) -> FrozenModel:
    """A model whose tables keep the largest weights that fit.

    Users and items share the bytes: a weight is kept for its magnitude, wherever it
    is. Weights that are left out are zeros, and the packed layouts do not store
    them. A user none of whose weights are left is ranked for by popularity. Rows that
    a file would make of smaller tables are weights of their own, where those tables do
    not fit.

    Args:
      frozen: the model.
      coding: of the tables, a name in `codings.CODINGS`.
      layouts: the tables that share the bytes, of `"users"` and `"items"`, to a name
        in `layouts.LAYOUTS`.
      limit: bytes of these tables together, as stored.

    Returns:
      The model itself, if its tables fit.

    Raises:
      UserError: the tables do not fit without any weight.
    """
    if frozen.hashed:
        every = [frozen.stored(name, coding, layouts[name]) for name in layouts]
        if sum(each.nbytes for each in every) <= limit:
            return frozen
    tables = {name: getattr(frozen, name) for name in layouts}

    def kept(number: int) -> dict[str, scipy.sparse.csr_matrix]:
        if number == len(order):
            return tables
        keep = np.zeros(len(order), bool)
        keep[order[:number]] = True
        ends = np.cumsum([table.nnz for table in tables.values()])
        parts = np.split(keep, ends[:-1])
        pairs = zip(tables.items(), parts, strict=True)
        return {name: _selected(table, part) for (name, table), part in pairs}

    def size(number: int) -> int:
        return sum(
            stored_bytes(table, coding, layouts[name], frozen.roundings)
            for name, table in kept(number).items()
        )

    weights = np.concatenate([table.data for table in tables.values()])
    order = np.argsort(-np.abs(weights), kind="stable")
    smallest = size(0)
    if smallest > limit:
        raise UserError(
            f"`export.table_bytes` must be at least {smallest:,} for the {coding} "
            f"tables of this model, which take that much without any weight. "
            f"Received: {limit:,}."
        )
    if size(len(order)) <= limit:
        return frozen
    fits, too_many = 0, len(order)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if size(middle) <= limit:
            fits = middle
        else:
            too_many = middle
    return dataclasses.replace(frozen, hashed={}, **kept(fits))


def _selected(
    table: scipy.sparse.csr_matrix, keep: np.ndarray
) -> scipy.sparse.csr_matrix:
    """The table with some of its non-zeros, bool [nnz]."""
    before = np.concatenate([[0], np.cumsum(keep)])
    return scipy.sparse.csr_matrix(
        (table.data[keep], table.indices[keep], before[table.indptr]), table.shape
    )
