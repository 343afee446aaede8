"""Narrow forms of a table: IEEE half precision, and int8 with a scale a row."""

import numpy as np

#: Largest code; symmetric, so -128 is not used and zero stays exactly zero.
INT8_LIMIT = 127


def quantize_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric int8 codes with one scale a row.

    A scale of its own keeps a row of small weights (an unpopular item's) from
    being rounded to nothing by the largest weight of the table, which is what
    the converter's scale for a whole table does.

    Args:
      table: float32 [rows, width], finite.

    Returns:
      `values` int8 [rows, width] and `scale` float32 [rows], such that
      `values * scale[:, None]` differs from `table` by at most half a scale.
      A row of zeros has scale 0.
    """
    scale = (np.abs(table).max(axis=1, initial=0.0) / INT8_LIMIT).astype(np.float32)
    # A row so small that its scale underflows is a row of zeros.
    divisor = np.where(scale > 0, scale, np.float32(1))
    codes = np.rint(table / divisor[:, None]) * (scale > 0)[:, None]
    return np.clip(codes, -INT8_LIMIT, INT8_LIMIT).astype(np.int8), scale


def half_bits(table: np.ndarray) -> np.ndarray:
    """The bits of each weight in IEEE half precision, as int16.

    Weights beyond the range of half precision become its largest number.

    Args:
      table: float32 [...], finite.

    Returns:
      int16 [...], to be bit-cast to float16.
    """
    largest = float(np.finfo(np.float16).max)
    half: np.ndarray = np.clip(table, -largest, largest).astype(np.float16)
    return half.view(np.int16)
