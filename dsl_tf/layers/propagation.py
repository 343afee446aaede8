"""Propagation of a dense table over a fixed graph, with a gradient of its own."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import tensorflow as tf


class Edges(NamedTuple):
    """Edges of a graph, each in one direction.

    Attributes:
      begin: int32 [p], nodes.
      end: int32 [p], nodes.
      weight: float32 [p].
    """

    begin: tf.Tensor
    end: tf.Tensor
    weight: tf.Tensor


class MeanPropagation:
    """The mean of the layers 0 … K of LightGCN: p(Â) E = 1/(K+1) Σ_k Â^k E.

    Computed by Horner's rule, so no layer but the last is kept. Â is symmetric,
    hence p(Â) too, and the gradient is the same propagation of the upstream one.
    The product of a CSR matrix and a dense table is TensorFlow's own; at Gowalla's
    size it takes a tenth of `tf.sparse.sparse_dense_matmul`. It is bound by how many
    rows of the table it finds in the cache, so the nodes may be put in an order in
    which neighbours are near each other; tables are given and returned in their own.

    Args:
      graph: symmetric float32 [n, n].
      layers: K, at least 0.
      order: int [n], the nodes in the order of the computation; None: as they are.
    """

    def __init__(
        self,
        graph: scipy.sparse.csr_matrix,
        layers: int,
        order: np.ndarray | None = None,
    ) -> None:
        order = np.arange(graph.shape[0]) if order is None else order
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order))
        ordered = graph[order][:, order].tocsr()
        ordered.sort_indices()
        entries = ordered.tocoo()
        with tf.init_scope():
            self._graph = _compressed(
                np.stack([entries.row, entries.col], axis=1).astype(np.int64),
                entries.data,
                np.array(graph.shape, np.int64),
            )
            self._order = tf.constant(order, tf.int32)
            self._place = tf.constant(place)
        self._layers = layers

    def __call__(self, table: tf.Tensor) -> tf.Tensor:
        """The propagated table, float32 [n, d] of [n, d]; it has no gradient."""
        total = self._sum_of_layers(tf.gather(table, self._order))
        return tf.stop_gradient(tf.gather(total, self._place) / (self._layers + 1))

    def rows(
        self, table: tf.Tensor, nodes: tf.Tensor, hidden: Edges | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows of the propagated table and of the table itself, differentiable.

        Both at once, because a sum of two gradients of the table would be one more
        table.

        Args:
          table: float32 [n, d].
          nodes: int [k], may repeat.
          hidden: edges of the graph to leave out, in both directions.

        Returns:
          Two float32 [k, d].
        """
        unique, which = tf.unique(nodes)
        places = tf.gather(self._place, unique)
        if hidden is not None:
            hidden = self._both_ways(hidden)

        @tf.custom_gradient
        def rows(table: tf.Tensor):  # type: ignore[no-untyped-def]
            total = self._sum_of_layers(tf.gather(table, self._order), hidden)
            propagated = tf.gather(total, places) / (self._layers + 1)
            own = tf.gather(table, unique)

            def gradient(of_propagated: tf.Tensor, of_own: tf.Tensor) -> tf.Tensor:
                # Both come as slices, from the look-ups below.
                mean = tf.convert_to_tensor(of_propagated) / (self._layers + 1)
                upstream = tf.scatter_nd(places[:, None], mean, table.shape)
                summed = self._sum_of_layers(upstream, hidden)
                whole = tf.gather(summed, self._place)
                return tf.tensor_scatter_nd_add(
                    whole, unique[:, None], tf.convert_to_tensor(of_own)
                )

            return (propagated, own), gradient

        propagated, own = rows(table)
        return tf.gather(propagated, which), tf.gather(own, which)

    def _sum_of_layers(
        self, table: tf.Tensor, hidden: Edges | None = None
    ) -> tf.Tensor:
        """Σ_k Â^k of a table in the order of the computation."""
        total = table
        for _ in range(self._layers):
            product = tf.raw_ops.SparseMatrixMatMul(a=self._graph, b=total)
            if hidden is not None:
                over = tf.gather(total, hidden.end) * hidden.weight[:, None]
                product = tf.tensor_scatter_nd_sub(product, hidden.begin[:, None], over)
            total = table + tf.ensure_shape(product, table.shape)
        return total

    def _both_ways(self, edges: Edges) -> Edges:
        """Distinct edges in both directions, between places of the computation."""
        begin, end = (tf.gather(self._place, nodes) for nodes in edges[:2])
        count = tf.cast(tf.size(self._place), tf.int64)
        key = tf.cast(begin, tf.int64) * count + tf.cast(end, tf.int64)
        distinct, which = tf.unique(key)
        begin, end = (
            tf.cast(x, tf.int32) for x in (distinct // count, distinct % count)
        )
        # Of equal edges any will do, and they have equal weights.
        weight = tf.math.unsorted_segment_max(edges.weight, which, tf.size(distinct))
        return Edges(
            tf.concat([begin, end], 0),
            tf.concat([end, begin], 0),
            tf.concat([weight, weight], 0),
        )


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
