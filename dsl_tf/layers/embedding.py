"""Embedding tables that are sparse from the first step."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.layers.base import SparseLayer
from dsl_tf.layers.rounding import (
    Rounding,
    mean_square_of,
    rounded_by_row,
    rounded_by_table,
    step_of,
)
from dsl_tf.storage.base import SparseWeight
from dsl_tf.storage.expansion import Expansion, of_tensor


@keras.utils.register_keras_serializable("dsl_tf")
class SparseEmbedding(SparseLayer):
    """`keras.layers.Embedding` with a fixed budget of non-zero weights.

    Put it where a Keras `Embedding` stands and add
    `dsl_tf.callbacks.DynamicSparseTraining` to `fit`: the budget then moves to
    the rows that need it (DSL sec. 3.1).

    Args:
      input_dim: number of rows.
      output_dim: width d of a row.
      sparsity: s, the share of the table pruned, in [0, 1).
      embeddings_initializer: Keras initialiser of the active weights.
      embeddings_regularizer: Keras regulariser; it acts on active weights only.
      mask_zero: whether row 0 marks padding, as in Keras.
      input_length: length of the input sequences where it is constant, as in
        Keras.
      largest_code: rows that are looked up are rounded to so many steps on either side
        of zero, 127 for int8 and 7 for int4, while what is trained is not
        (`layers.rounding`); 0: they are as they are.
      step: whose each step is, `"row"` or `"table"`.
      **kwargs: `storage`, `seed`, `popularity`, `mask_initializer` as in
        `SparseLayer`, and those of `keras.layers.Layer`.

    Call:
      int [...] row numbers, ragged or not -> float [..., output_dim].
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        sparsity: float,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        mask_zero: bool = False,
        input_length: int | None = None,
        largest_code: int = 0,
        step: str = "row",
        **kwargs: Any,
    ) -> None:
        if input_dim < 1 or output_dim < 1:
            raise UserError(
                "`input_dim` and `output_dim` must be at least 1. Received: "
                f"input_dim={input_dim}, output_dim={output_dim}."
            )
        if step not in ("row", "table"):
            raise UserError(f"`step` must be row or table. Received: {step!r}.")
        # As in Keras: row numbers are not cast to floats, and a model that
        # begins with this layer is built without being told its input.
        kwargs["autocast"] = False
        if "batch_input_shape" not in kwargs:
            kwargs.setdefault("input_shape", (input_length,))
        super().__init__(sparsity=sparsity, **kwargs)
        self.input_dim = int(input_dim)
        self.output_dim = int(output_dim)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self._supports_ragged_inputs = True
        self.input_length = input_length
        self.largest_code = largest_code
        self.step = step
        self.mean_square: tf.Variable | None = None

    def build(self, input_shape: Any = None) -> None:
        """Create the table."""
        self.embeddings: SparseWeight = self.add_sparse_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            self.embeddings_regularizer,
        )
        if self.largest_code and self.step == "table":
            values = self.embeddings.values
            self.mean_square = self.add_weight(
                name="mean_square",
                shape=(),
                dtype=tf.float32,
                initializer=lambda shape, dtype=None: mean_square_of(
                    tf.cast(values, tf.float32)
                ),
                trainable=False,
            )
        super().build(input_shape)

    @property
    def rounding(self) -> Rounding | None:
        """What all rows that are looked up are multiples of now, if of anything."""
        if self.mean_square is None:
            return None
        step = step_of(self.mean_square, self.largest_code)
        return Rounding(float(step), self.largest_code)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Look up rows."""
        if isinstance(inputs, tf.RaggedTensor):
            return tf.ragged.map_flat_values(self.call, inputs)
        inputs = tf.convert_to_tensor(inputs)
        if inputs.dtype not in (tf.int32, tf.int64):
            inputs = tf.cast(inputs, tf.int32)
        rows = self.embeddings.lookup(inputs)
        if self.mean_square is not None:
            rows = rounded_by_table(rows, self.mean_square, self.largest_code)
        elif self.largest_code:
            rows = rounded_by_row(rows, self.largest_code)
        return tf.cast(rows, self.compute_dtype)

    def whole(self) -> tf.Tensor:
        """The table in its dense form, [input_dim, output_dim], differentiable."""
        return tf.cast(self.embeddings.read(), self.compute_dtype)

    def expansion(self) -> Expansion:
        """The table for `expansion.through`, where its gradient is never dense."""
        return self.embeddings.expansion()

    def products(self, inputs: tf.Tensor) -> tf.Tensor:
        """Inner products with all rows: [B, output_dim] -> [B, input_dim].

        Rows are in memory in their dense form a block at a time.
        """
        return self.embeddings.matmul(inputs, transpose=True)

    def compute_mask(self, inputs: tf.Tensor, mask: Any = None) -> tf.Tensor | None:
        """The padding mask, where `mask_zero` is set."""
        return tf.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        """[..., output_dim]."""
        return tf.TensorShape(input_shape).concatenate(self.output_dim)

    def get_config(self) -> dict[str, Any]:
        """Everything that makes the layer again."""
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": keras.initializers.serialize(
                self.embeddings_initializer
            ),
            "embeddings_regularizer": keras.regularizers.serialize(
                self.embeddings_regularizer
            ),
            "mask_zero": self.mask_zero,
            "input_length": self.input_length,
            "largest_code": self.largest_code,
            "step": self.step,
        }


def expansion_of(table: keras.layers.Layer) -> Expansion:
    """Of any table; one that is not stored by its non-zeros has a dense gradient."""
    if isinstance(table, SparseEmbedding):
        return table.expansion()
    return of_tensor(table.whole())
