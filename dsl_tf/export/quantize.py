"""Narrow forms of the non-zero weights of a table, by NumPy alone."""

from collections.abc import Iterable

import numpy as np
import scipy.sparse

#: Largest codes; symmetric, so that zero stays exactly zero.
INT8_LIMIT, INT4_LIMIT = 127, 7


def quantize_rows(
    table: scipy.sparse.csr_matrix, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric integer codes with one scale a row.

    A scale of its own keeps a row of small weights (an unpopular item's) from
    being rounded to nothing by the largest weight of the table, which is what
    the converter's scale for a whole table does.

    Args:
      table: float32 [rows, width], finite.
      limit: the largest code.

    Returns:
      int8 [nnz], the codes, and float32 [rows], the scales, which have a value
      in bfloat16. A code times its row's scale differs from the weight by at
      most half a scale. A row of zeros has scale 0.
    """
    counts = np.diff(table.indptr)
    largest = np.zeros(len(counts), np.float32)
    used = counts > 0
    if used.any():  # `reduceat` takes an empty row for its next element
        starts = table.indptr[:-1][used]
        largest[used] = np.maximum.reduceat(np.abs(table.data), starts)
    scale = bfloat16_above(largest / np.float32(limit))
    # A row so small that its scale underflows is a row of zeros.
    divisor = np.repeat(np.where(scale > 0, scale, np.float32(np.inf)), counts)
    codes = np.rint(table.data / divisor)
    return np.clip(codes, -limit, limit).astype(np.int8), scale


def column_steps(
    table: scipy.sparse.csr_matrix, candidates: Iterable[float], limit: int
) -> np.ndarray | None:
    """The step of each column, where all weights are whole multiples of one.

    Args:
      table: float32 [rows, width], finite.
      candidates: steps, in float32.
      limit: how many of a step a weight may be.

    Returns:
      float32 [width], the first of `candidates` that a column is of; None if there is
      a column that is of none. Steps times whole numbers are the weights to the bit.
    """
    width = table.shape[1]
    steps = np.zeros(width, np.float32)
    for step in map(np.float32, candidates):
        codes = np.rint(table.data / step)
        apart = (codes * step != table.data) | (np.abs(codes) > limit)
        others = np.bincount(table.indices[apart], minlength=width) > 0
        steps[(steps == 0) & ~others] = step
    return steps if steps.all() else None


def bfloat16_above(values: np.ndarray) -> np.ndarray:
    """The least bfloat16 not below each value, as float32.

    Args:
      values: float32 [...], not negative, below the largest bfloat16.
    """
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0xFFFF)) & np.uint32(0xFFFF0000)).view(np.float32)


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """The bits of float32 [...] that have a value in bfloat16, as int16."""
    return (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16).view(np.int16)


def half_bits(weights: np.ndarray) -> np.ndarray:
    """The bits of each weight in IEEE half precision, as int16.

    Weights beyond the range of half precision become its largest number.

    Args:
      weights: float32 [...], finite.

    Returns:
      int16 [...], to be bit-cast to float16.
    """
    largest = float(np.finfo(np.float16).max)
    half: np.ndarray = np.clip(weights, -largest, largest).astype(np.float16)
    return half.view(np.int16)
