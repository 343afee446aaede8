"""Tables whose rows are made of two smaller ones (Shi et al., KDD 2020)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from dsl_tf import streams
from dsl_tf.errors import UserError
from dsl_tf.layers.tables import DenseTables
from dsl_tf.plugins import choose

#: How a row of each table become one.
OPERATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "multiply": tf.multiply,
    "add": tf.add,
}


class QuotientRemainderEmbedding(keras.layers.Layer):
    """e_i = R[i mod m] ∘ Q[i // m]: another pair of rows for every i.

    Args:
      input_dim: n, rows.
      output_dim: d, their width.
      buckets: m, rows of R, the large table; Q has ceil(n / m).
      embeddings_initializer: of R. Q starts around what changes nothing, 1 or 0.
      operation: a name in `OPERATIONS`.
      **kwargs: as for `keras.layers.Layer`.

    Attributes:
      buckets: m.
      compose: a row of each table, [n, d], to rows [n, d].

    Raises:
      UserError: no such operation.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        buckets: int,
        embeddings_initializer: keras.initializers.Initializer,
        operation: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self._rows, self._width, self.buckets = input_dim, output_dim, buckets
        self._initializer = embeddings_initializer
        self.compose = choose(OPERATIONS, operation, "operation")
        self._neutral = 1.0 if operation == "multiply" else 0.0

    def build(self, input_shape: Any = None) -> None:
        """Create both tables."""
        self.remainder = self.add_weight(
            name="remainder",
            shape=(self.buckets, self._width),
            initializer=self._initializer,
        )
        config = self._initializer.get_config()
        spread = keras.initializers.RandomNormal(
            self._neutral,
            config.get("stddev", 0.1),
            streams.key(config.get("seed") or 0, "initial/quotient"),
        )
        quotients = -(-self._rows // self.buckets)
        self.quotient = self.add_weight(
            name="quotient", shape=(quotients, self._width), initializer=spread
        )
        super().build(input_shape)

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """Look up rows, int [...] -> [..., d]."""
        rows = tf.convert_to_tensor(rows)
        return self.compose(
            tf.gather(self.remainder, rows % self.buckets),
            tf.gather(self.quotient, rows // self.buckets),
        )

    def whole(self) -> tf.Tensor:
        """All rows in their dense form, [n, d]."""
        return self(tf.range(self._rows))

    def products(self, inputs: tf.Tensor) -> tf.Tensor:
        """Inner products with all rows: [B, d] -> [B, n]."""
        return tf.matmul(inputs, self.whole(), transpose_b=True)


@dataclasses.dataclass(frozen=True)
class HashedTables(DenseTables):
    """`QuotientRemainderEmbedding` tables.

    Attributes:
      share: the most that both tables take of the rows, in (0, 1].
      operation: see there.
    """

    share: float = 1.0
    operation: str = "multiply"

    def _table(
        self,
        kind: str,
        width: int,
        name: str,
        initializer: keras.initializers.Initializer,
    ) -> QuotientRemainderEmbedding:
        rows = self._rows(kind)
        buckets = most_buckets(rows, self.share)
        return QuotientRemainderEmbedding(
            rows, width, buckets, initializer, self.operation, name=name
        )


def most_buckets(rows: int, share: float) -> int:
    """The greatest m with m + ceil(n / m) rows in a share.

    A row of R serves as few rows as can be, about 1 / share of them; Q has as many. All
    but a few rows of the share are used.

    Args:
      rows: n.
      share: in (0, 1].

    Raises:
      UserError: there is none. Of n rows the least is about 2 sqrt(n).
    """
    most = int(share * rows + 1e-9)  # a product such as .7 * 10 may end just below
    for buckets in range(most, 0, -1):
        if buckets + -(-rows // buckets) <= most:
            return buckets
        if buckets * buckets < rows:
            break
    raise UserError(
        "Quotient and remainder must fit into the share of rows that is left. "
        f"Received: {share:.4g} of {rows} rows, where they take at least "
        f"{min(-(-rows // m) + m for m in range(1, rows + 1))}."
    )
