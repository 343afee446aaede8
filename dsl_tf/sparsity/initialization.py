"""The first mask: exactly so many active positions, at random or as given."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from dsl_tf.errors import UserError
from dsl_tf.sparsity.selection import Scores, lowest

#: Positions drawn at a time, so that memory does not grow with the table.
BLOCK_POSITIONS = 1 << 20

#: Draws the first mask, from a shape (rows, width), a number of active positions and
#: a generator: bool [block, width] from the first row to the last.
MaskInitializer = Callable[
    [tuple[int, int], int, np.random.Generator], Iterator[np.ndarray]
]


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
    # NumPy's integers would overflow.
    return max(1, round(int(shape[0]) * int(shape[1]) * (1.0 - sparsity)))


def random_mask(
    shape: tuple[int, int],
    nnz: int,
    generator: np.random.Generator,
    popularity: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
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
      The mask from the first row to the last, in blocks of rows: bool
      [block, width] each. The whole is never built.

    Raises:
      UserError: `nnz` out of range, or `popularity` not of one number a row.
    """
    rows, width = shape
    if not 1 <= nnz <= rows * width:
        raise UserError(f"`nnz` must be in [1, {rows * width}]. Received: nnz={nnz}.")
    if nnz < rows:
        first = _popular_rows(rows, nnz, popularity)
        return _blocks(shape, nnz, generator, first)
    return _blocks(shape, nnz, generator, np.ones(rows, bool))


@dataclasses.dataclass(frozen=True, eq=False)
class GivenMask:
    """A mask initialiser for a mask that is known.

    Attributes:
      mask: bool [rows, width].
    """

    mask: np.ndarray

    @property
    def sparsity(self) -> float:
        """The share of positions that are pruned."""
        return 1.0 - np.count_nonzero(self.mask) / self.mask.size

    def __call__(
        self, shape: tuple[int, int], nnz: int, generator: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """The mask, in one block.

        Raises:
          ValueError: it has another shape, or another number of positions.
        """
        del generator
        positions = int(np.count_nonzero(self.mask))
        if self.mask.shape != tuple(shape) or positions != nnz:
            raise ValueError(
                f"The mask must be of {shape} with {nnz} positions. Received: "
                f"{self.mask.shape} with {positions}."
            )
        yield self.mask


@dataclasses.dataclass(frozen=True, eq=False)
class QuotaMask:
    """A mask initialiser that gives each row so many positions.

    Attributes:
      quotas: int [rows], each at most `width`.
      width: columns.
      nested: they are the first columns, so that the columns of a row are among those
        of any row with more; or random ones.
    """

    quotas: np.ndarray
    width: int
    nested: bool = False

    @property
    def sparsity(self) -> float:
        """The share of positions that are pruned."""
        return 1.0 - int(self.quotas.sum()) / (len(self.quotas) * self.width)

    def __call__(
        self, shape: tuple[int, int], nnz: int, generator: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """The mask, in blocks of rows: bool [block, width] each.

        Raises:
          ValueError: it is of another shape, or has another number of positions.
        """
        rows, width = len(self.quotas), self.width
        if (rows, width) != tuple(shape) or int(self.quotas.sum()) != nnz:
            raise ValueError(
                f"The mask must be of {shape} with {nnz} positions. Received: "
                f"{(rows, width)} with {self.quotas.sum()}."
            )
        block_rows = max(1, BLOCK_POSITIONS // width)
        for start in range(0, rows, block_rows):
            quotas = self.quotas[start : start + block_rows]
            rank = np.arange(width)
            if not self.nested:
                scores = generator.random((len(quotas), width), dtype=np.float32)
                rank = np.argsort(np.argsort(scores, axis=1), axis=1)
            yield rank < quotas[:, None]


def quotas_by_use(use: np.ndarray, width: int, nnz: int, power: float) -> np.ndarray:
    """Weights of each row, in proportion to its use to a power.

    No row has more than `width`; every row has one at least, if there are so many, else
    the rows of most use have one each.

    Args:
      use: real [rows], at least 0: how often each row is used. Counted as one more.
      width: columns.
      nnz: weights in all, in [1, rows * width].
      power: 0: all rows are alike.

    Returns:
      int64 [rows], whose sum is `nnz`.
    """
    rows = len(use)
    if nnz <= rows:
        quotas = np.zeros(rows, np.int64)
        quotas[np.argsort(-use, kind="stable")[:nnz]] = 1
        return quotas
    # In the logarithm, as any power of any count would not fit a number.
    log_weight = power * np.log1p(np.asarray(use, np.float64))
    log_weight -= log_weight.max()

    def clipped(log_scale: float) -> np.ndarray:
        return np.clip(np.exp(np.minimum(log_weight + log_scale, 50.0)), 1.0, width)

    low, high = 0.0, np.log(width) - log_weight.min()
    for _ in range(100):  # to the last bit
        middle = (low + high) / 2
        if clipped(middle).sum() < nnz:
            low = middle
        else:
            high = middle
    share = clipped(high)
    quotas = np.minimum(share.astype(np.int64), width)
    # What is over goes where most was cut off.
    rest = np.where(quotas < width, share - quotas, -1.0)
    missing = nnz - int(quotas.sum())
    quotas[np.argsort(-rest, kind="stable")[:missing]] += 1
    return quotas


def _blocks(
    shape: tuple[int, int], nnz: int, generator: np.random.Generator, first: np.ndarray
) -> Iterator[np.ndarray]:
    """Masks with a weight in each row of `first`, bool [rows], and others.

    Those others are drawn from all positions that are left, without bias.
    """
    rows, width = shape
    others = nnz - int(np.count_nonzero(first))
    block_rows = max(1, BLOCK_POSITIONS // width)
    for start in range(0, rows, block_rows):
        stop = min(start + block_rows, rows)
        # Each block gets its share, so that the total is exact.
        share = others * stop // rows - others * start // rows
        block = np.zeros((stop - start, width), bool)
        floor = np.flatnonzero(first[start:stop])
        columns = generator.integers(0, width, len(floor))
        block[floor, columns] = True
        if share:
            scores = generator.random(block.shape, dtype=np.float32)
            scores[floor, columns] = -1.0  # lower than any: they stay
            chosen = lowest(Scores.of(scores.reshape(-1)), share + len(floor))
            block = chosen.reshape(block.shape)
        yield block


def _popular_rows(rows: int, nnz: int, popularity: np.ndarray | None) -> np.ndarray:
    """The `nnz` most popular rows, bool [rows]."""
    if popularity is not None and len(popularity) != rows:
        raise UserError(
            f"`popularity` must have one number for each of {rows} rows. Received: "
            f"{len(popularity)} numbers."
        )
    warnings.warn(
        f"{nnz} weights for {rows} rows: {1 - nnz / rows:.1%} of the rows start "
        "without any weight.",
        stacklevel=4,
    )
    chosen = np.zeros(rows, bool)
    if popularity is None:
        chosen[:nnz] = True
    else:
        chosen[np.argsort(-popularity, kind="stable")[:nnz]] = True
    return chosen
