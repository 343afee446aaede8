"""Propagation of a dense table over a fixed graph, with a gradient of its own."""

import numpy as np
import scipy.sparse
import tensorflow as tf


class MeanPropagation:
    """The mean of the layers 0 … K of LightGCN: p(Â) E = 1/(K+1) Σ_k Â^k E.

    Computed by Horner's rule, so no layer but the last is kept. Â is symmetric,
    hence p(Â) too, and the gradient is the same propagation of the upstream one.
    The product of a CSR matrix and a dense table is TensorFlow's own; at Gowalla's
    size it takes a tenth of `tf.sparse.sparse_dense_matmul`.

    Args:
      graph: symmetric float32 [n, n].
      layers: K, at least 0.
    """

    def __init__(self, graph: scipy.sparse.csr_matrix, layers: int) -> None:
        entries = graph.tocoo()
        with tf.init_scope():
            self._graph = _compressed(
                np.stack([entries.row, entries.col], axis=1).astype(np.int64),
                entries.data,
                np.array(graph.shape, np.int64),
            )
        self._layers = layers

    def __call__(self, table: tf.Tensor) -> tf.Tensor:
        """The propagated table, float32 [n, d] of [n, d], differentiable."""

        @tf.custom_gradient
        def propagated(table: tf.Tensor):  # type: ignore[no-untyped-def]
            return self._propagate(table), self._propagate

        return propagated(table)

    def _propagate(self, table: tf.Tensor) -> tf.Tensor:
        table = tf.convert_to_tensor(table)  # a gradient may come as slices
        total = table
        for _ in range(self._layers):
            product = tf.raw_ops.SparseMatrixMatMul(a=self._graph, b=total)
            total = table + tf.ensure_shape(product, table.shape)
        return total / (self._layers + 1)


@tf.function
def _compressed(
    indices: tf.Tensor, values: tf.Tensor, dense_shape: tf.Tensor
) -> tf.Tensor:
    """A CSR matrix, a variant tensor.

    As a function, which notes type and shape on what it returns: without them
    another function could not take the matrix in.
    """
    return tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=indices, values=values, dense_shape=dense_shape
    )
