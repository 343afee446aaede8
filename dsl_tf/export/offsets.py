"""Where the rows of a packed table begin."""

import numpy as np
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.export.codings import INT16, Vector

#: Rows that share an int32 offset at most.
GROUP = 64


class Offsets(tf.Module):
    """Where each row begins: an int32 for a group of rows, and an int16 a row.

    Args:
      indptr: int [rows + 1], as in `scipy.sparse.csr_matrix`.
      width: columns of the table.

    Raises:
      UserError: more non-zeros than an int32 can count.
    """

    def __init__(self, indptr: np.ndarray, width: int) -> None:
        super().__init__()
        if indptr[-1] >= 2**31 - 1:
            raise UserError(
                "An exported table must have less than 2**31 non-zeros. "
                f"Received: {indptr[-1]}."
            )
        self.group = self.rows_of_group(width)
        base = indptr[:: self.group]
        # Whole groups, and one more for spans that end within the last.
        padding = (len(base) + 1) * self.group - len(indptr)
        own = np.pad(indptr, (0, padding), mode="edge").reshape(-1, self.group)
        own -= own[:, :1]
        self.base = tf.Variable(np.append(base, base[-1]).astype(np.int32), False)
        self.own = Vector(INT16, own.reshape(-1).astype(np.int16))

    @staticmethod
    def rows_of_group(width: int) -> int:
        """How many rows have offsets from the first that fit into int16."""
        return max(1, min(GROUP, np.iinfo(np.int16).max // width))

    @staticmethod
    def size(rows: int, width: int) -> int:
        """Bytes of the offsets of so many rows, and of the end."""
        group = Offsets.rows_of_group(width)
        groups = -(-(rows + 1) // group) + 1
        return 4 * groups + INT16.nbytes(group * groups)

    def at(self, ids: tf.Tensor) -> tf.Tensor:
        """Offsets of rows, int32 [n]; the row after the last has one too."""
        return tf.gather(self.base, ids // self.group) + self.own.at(ids)

    def span(self, begin: tf.Tensor, count: int) -> tf.Tensor:
        """Offsets of `count` rows from `begin`, int32 [count]."""
        # Whole groups: a sum is much faster in TFLite than to repeat each base.
        first, groups = begin // self.group, -(-count // self.group) + 1
        base = tf.slice(self.base, [first], [groups])
        own = self.own.span(first * self.group, groups * self.group)
        offsets = base[:, None] + tf.reshape(own, [groups, self.group])
        start = begin - first * self.group
        return tf.slice(tf.reshape(offsets, [-1]), [start], [count])
