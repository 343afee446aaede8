"""The first mask: exactly so many active positions, at random."""

import warnings

import numpy as np

from dsl_tf.errors import UserError

#: Positions drawn at a time, so that memory does not grow with the table.
BLOCK_POSITIONS = 1 << 20


def budget(shape: tuple[int, int], sparsity: float) -> int:
    """The exact number of non-zeros of a weight (DSL sec. 3.1.1).

    Args:
      shape: (rows, width).
      sparsity: s, the share of weights pruned, in [0, 1).

    Returns:
      round(rows * width * (1 - s)), at least 1.

    Raises:
      UserError: sparsity out of range.
    """
    if not 0.0 <= sparsity < 1.0:
        raise UserError(f"`sparsity` must be in [0, 1). Received: sparsity={sparsity}.")
    return max(1, round(shape[0] * shape[1] * (1.0 - sparsity)))


def random_mask(
    shape: tuple[int, int],
    nnz: int,
    generator: np.random.Generator,
    popularity: np.ndarray | None = None,
) -> np.ndarray:
    """Draw `nnz` active positions at random, with a floor of one in each row.

    With fewer weights than rows, the `nnz` most popular rows get one each
    (ties by index), and a warning names the share of empty rows.

    Args:
      shape: (rows, width).
      nnz: number of active positions, in [1, rows * width].
      generator: the source of randomness.
      popularity: real [rows], used only with fewer weights than rows; None
        takes the rows in order.

    Returns:
      int64 [nnz], ascending row-major positions. The table itself is never
      built: memory is O(nnz) and one block of rows.

    Raises:
      UserError: `nnz` out of range, or `popularity` not of one number a row.
    """
    rows, width = shape
    if not 1 <= nnz <= rows * width:
        raise UserError(f"`nnz` must be in [1, {rows * width}]. Received: nnz={nnz}.")
    if nnz < rows:
        return _one_weight_for_popular_rows(shape, nnz, generator, popularity)
    positions = np.empty(nnz, np.int64)
    block_rows = max(1, BLOCK_POSITIONS // width)
    drawn = 0
    for start in range(0, rows, block_rows):
        stop = min(start + block_rows, rows)
        # Each block gets its share, so that the total is exact.
        until = stop + (nnz - rows) * stop // rows
        block = _block(stop - start, width, until - drawn, generator)
        positions[drawn:until] = block + start * width
        drawn = until
    return positions


def _block(
    rows: int, width: int, nnz: int, generator: np.random.Generator
) -> np.ndarray:
    """Positions of `nnz` >= rows active weights, at least one in each row."""
    counts = 1 + generator.multivariate_hypergeometric(
        np.full(rows, width - 1), nnz - rows, method="marginals"
    )
    order = np.argsort(generator.random((rows, width), dtype=np.float32), axis=1)
    active = np.zeros((rows, width), bool)
    np.put_along_axis(active, order, np.arange(width) < counts[:, None], axis=1)
    return np.flatnonzero(active)


def _one_weight_for_popular_rows(
    shape: tuple[int, int],
    nnz: int,
    generator: np.random.Generator,
    popularity: np.ndarray | None,
) -> np.ndarray:
    rows, width = shape
    if popularity is not None and len(popularity) != rows:
        raise UserError(
            f"`popularity` must have one number for each of {rows} rows. Received: "
            f"{len(popularity)} numbers."
        )
    warnings.warn(
        f"{nnz} weights for {rows} rows: {1 - nnz / rows:.1%} of the rows start "
        "without any weight.",
        stacklevel=3,
    )
    if popularity is None:
        chosen = np.arange(nnz)
    else:
        chosen = np.sort(np.argsort(-popularity, kind="stable")[:nnz])
    return chosen * width + generator.integers(0, width, nnz)
