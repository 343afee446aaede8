"""Fully connected layers that are sparse from the first step."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.layers.base import SparseLayer
from dsl_tf.storage.base import SparseWeight


@keras.utils.register_keras_serializable("dsl_tf")
class SparseDense(SparseLayer):
    """`keras.layers.Dense` with a fixed budget of non-zero kernel weights.

    The bias stays dense: only matrices are masked.

    Args:
      units: width of the output.
      sparsity: s, the share of the kernel pruned, in [0, 1).
      activation: as in Keras.
      use_bias: as in Keras.
      kernel_initializer: Keras initialiser of the active weights.
      bias_initializer: Keras initialiser of the bias.
      kernel_regularizer: Keras regulariser; it acts on active weights only.
      **kwargs: `storage`, `seed` as in `SparseLayer`, and those of
        `keras.layers.Layer`.

    Call:
      float [..., features] -> float [..., units].
    """

    def __init__(
        self,
        units: int,
        sparsity: float,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        if units < 1:
            raise UserError(f"`units` must be at least 1. Received: units={units}.")
        super().__init__(sparsity=sparsity, **kwargs)
        self.units = int(units)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create kernel [features, units] and bias [units]."""
        features = tf.TensorShape(input_shape)[-1]
        if features is None:
            raise UserError(
                "The last dimension of the input of SparseDense must be known. "
                f"Received: input shape {input_shape}."
            )
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: features})
        self.kernel: SparseWeight = self.add_sparse_weight(
            "kernel",
            (features, self.units),
            self.kernel_initializer,
            self.kernel_regularizer,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=[self.units], initializer=self.bias_initializer
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """activation(inputs · kernel + bias)."""
        features = self.kernel.shape[0]
        inputs = tf.cast(inputs, self.compute_dtype)
        outputs = self.kernel.matmul(tf.reshape(inputs, [-1, features]))
        shape = tf.concat([tf.shape(inputs)[:-1], [self.units]], axis=0)
        outputs = tf.reshape(outputs, shape)
        outputs.set_shape([*inputs.shape[:-1], self.units])
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        """[..., units]."""
        return tf.TensorShape(input_shape)[:-1].concatenate(self.units)

    def get_config(self) -> dict[str, Any]:
        """Everything that makes the layer again."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
