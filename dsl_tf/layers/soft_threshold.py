"""Dense tables with learnt soft thresholds (PEP, Liu et al., ICLR 2021)."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.layers.tables import DenseEmbedding, DenseTables
from dsl_tf.plugins import choose

#: Whose threshold is one number, to the shape of all thresholds of a table.
GRANULARITIES = {
    "global": lambda rows, width: (1, 1),
    "row": lambda rows, width: (rows, 1),
    "dimension": lambda rows, width: (1, width),
    "weight": lambda rows, width: (rows, width),
}


class SoftThresholdEmbedding(DenseEmbedding):
    """sign(V) max(0, |V| - σ(S)), with the table V and the thresholds S trained.

    Weights drift below their thresholds; which are above them is the mask that is
    looked for (Liu et al. 2021, eq. 4). V, S, their gradients and moments are dense.

    Args:
      *args: as for `DenseEmbedding`.
      granularity: one of `GRANULARITIES`.
      initial_threshold: of S.
      **kwargs: as for `DenseEmbedding`.

    Raises:
      UserError: no such granularity.
    """

    def __init__(
        self,
        *args: Any,
        granularity: str,
        initial_threshold: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._shape_of = choose(GRANULARITIES, granularity, "granularity")
        self._initial_threshold = initial_threshold

    def build(self, input_shape: Any = None) -> None:
        """Create the table and its thresholds."""
        super().build(input_shape)
        self.thresholds = self.add_weight(
            name="thresholds",
            shape=self._shape_of(self.input_dim, self.output_dim),
            initializer=keras.initializers.Constant(self._initial_threshold),
        )

    @property
    def regularized(self) -> list[tf.Variable]:
        """The table: to shrink S, below zero, would be to raise the thresholds."""
        return [self.embeddings]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Look up rows."""
        thresholds = self.thresholds
        if thresholds.shape[0] > 1:
            thresholds = tf.gather(thresholds, inputs)
        return _above(super().call(inputs), thresholds)

    def whole(self) -> tf.Tensor:
        """The table above its thresholds, [input_dim, output_dim]."""
        return _above(tf.convert_to_tensor(self.embeddings), self.thresholds)

    def products(self, inputs: tf.Tensor) -> tf.Tensor:
        """Inner products with all rows: [B, output_dim] -> [B, input_dim]."""
        return tf.matmul(inputs, self.whole(), transpose_b=True)

    def margins(self) -> np.ndarray:
        """How far each weight is above its threshold, float32 [rows, width]."""
        margins: np.ndarray = (
            tf.abs(self.embeddings) - tf.sigmoid(self.thresholds)
        ).numpy()
        return margins


@dataclasses.dataclass(frozen=True)
class SoftThresholdTables(DenseTables):
    """`SoftThresholdEmbedding` tables.

    Attributes:
      granularity: see there.
      initial_threshold: see there.
    """

    granularity: str = "weight"
    initial_threshold: float = -8.0

    def _table(
        self,
        kind: str,
        width: int,
        name: str,
        initializer: keras.initializers.Initializer,
    ) -> SoftThresholdEmbedding:
        return SoftThresholdEmbedding(
            self._rows(kind),
            width,
            initializer,
            granularity=self.granularity,
            initial_threshold=self.initial_threshold,
            name=name,
        )


def _above(values: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    return tf.sign(values) * tf.nn.relu(tf.abs(values) - tf.sigmoid(thresholds))
