"""A first mask from non-negative matrix factorisation, as SparseRec has it.

Qu et al. 2024 (arXiv 2411.12205) say no more than that: how factors become a mask is
our reading. The binary matrix of interactions R is factored into W H with as many
components as the table has columns; an entry of a user's row of W, or of an item's
column of H, says how much the user or item is about that component. Rows are
normalised, or the budget would go to the most active users; each keeps its largest
entry; the largest of the others fill the budget.
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterable

import numpy as np
import scipy.sparse

from dsl_tf.sparsity.selection import Scores, highest


@dataclasses.dataclass(frozen=True, eq=False)
class NmfMasks:
    """Masks for the tables of a training part.

    Attributes:
      matrix: makes [num_users, num_items], whose non-zeros are the interactions.
      iterations: of the factorisation, at most.
      seed: of the factorisation, and of the order of entries that are equal.
    """

    matrix: Callable[[], scipy.sparse.csr_matrix]
    iterations: int
    seed: int
    _found: dict[int, tuple[np.ndarray, np.ndarray]] = dataclasses.field(
        default_factory=dict
    )

    def mask(self, kind: str, width: int, nnz: int) -> np.ndarray:
        """The mask of a table, bool [rows, width], with `nnz` active positions.

        Args:
          kind: `"users"`, `"items"` or `"both"`, users first.
          width: its columns.
          nnz: see `positions`.
        """
        return positions(self._factor(kind, width), nnz, self._generator(width))

    def factored(self, widths: Iterable[int]) -> "NmfMasks":
        """Itself, with the factors of tables of some widths ready."""
        for width in widths:
            self._factors(width)
        return self

    def forget(self) -> None:
        """Let the factors go, which are as large as the dense tables."""
        self._found.clear()

    def macs(self, width: int) -> int:
        """Multiply-accumulates of the factors for a table of a width, at most.

        Without those of the singular vectors that it starts from.
        Coordinate descent takes, in an iteration and for each of the two factors, the
        product of the matrix with the other one (its non-zeros · width), the other
        one's Gram matrix (its rows · width²), and a sweep (its own rows · width²).
        """
        matrix = self.matrix()
        each = 2 * matrix.nnz * width + 2 * sum(matrix.shape) * width**2
        return self.iterations * each

    @staticmethod
    def nbytes(rows: int, widths: Iterable[int]) -> int:
        """Bytes of the factors for tables of some widths, float32.

        Args:
          rows: users and items.
          widths: columns of the tables.
        """
        return 4 * rows * sum(widths)

    def _generator(self, width: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, width])

    def _factor(self, kind: str, width: int) -> np.ndarray:
        users, items = self._factors(width)
        both = np.concatenate([users, items])
        return {"users": users, "items": items, "both": both}[kind]

    def _factors(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        if width in self._found:
            return self._found[width]
        # Not at the top: it takes a second, and few runs need it.
        from sklearn.decomposition import NMF

        binary = self.matrix().astype(np.float32)
        binary.data[:] = 1.0
        solver = NMF(
            n_components=width,
            init="nndsvd" if width <= min(binary.shape) else "random",
            max_iter=self.iterations,
            tol=1e-3,
            random_state=self.seed % 2**32,
        )
        with warnings.catch_warnings():
            # Good enough for a mask before it is good enough for its tolerance.
            warnings.filterwarnings("ignore", "Maximum number of iterations")
            users = solver.fit_transform(binary)
        items = solver.components_.T
        self._found[width] = users.astype(np.float32), items.astype(np.float32)
        return self._found[width]


def positions(
    factor: np.ndarray, nnz: int, generator: np.random.Generator
) -> np.ndarray:
    """The largest entries of the normalised rows, bool [rows, width].

    Args:
      factor: float32 [rows, width], not negative.
      nnz: how many. With fewer than rows the rows of greatest norm get one each.
      generator: decides between equal ones, such as the many zeros.
    """
    score = scores(factor, generator)
    norm = np.linalg.norm(factor, axis=1)
    first = np.argsort(-norm, kind="stable")[:nnz]
    score[first, score[first].argmax(axis=1)] = np.inf
    return highest(Scores.of(score.reshape(-1)), nnz).reshape(factor.shape)


def scores(factor: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Entries of the normalised rows, all different, float32 [rows, width].

    Args:
      factor: float32 [rows, width], not negative.
      generator: decides between equal ones, such as the many zeros.
    """
    norm = np.linalg.norm(factor, axis=1, keepdims=True)
    # Below any entry that counts, and different for all that are equal.
    noise = generator.random(factor.shape, dtype=np.float32) * np.float32(1e-6)
    normalised: np.ndarray = factor / np.maximum(norm, np.float32(1e-12)) + noise
    return normalised
