"""Propagation of a dense table over a fixed graph, with a gradient of its own."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.storage.expansion import Backward, DenseFunction


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
    hence p(Â) too, and the gradient is the same propagation of the upstream one. Its
    last product, which is the gradient of the table, is made in blocks of rows.
    The product of a CSR matrix and a dense table is TensorFlow's own; at Gowalla's
    size it takes a tenth of `tf.sparse.sparse_dense_matmul`. It is bound by how many
    rows of the table it finds in the cache, so the nodes may be put in an order in
    which neighbours are near each other; tables are given and returned in their own.

    The blocks are a second copy of the graph, with rows in the order of the table:
    so what is stored sparse finds its gradient in the order of its positions.

    Args:
      graph: symmetric float32 [n, n].
      layers: K, at least 0.
      order: int [n], the nodes in the order of the computation; None: as they are.
      blocks: into which the rows of a table's gradient are parted, at most.
    """

    def __init__(
        self,
        graph: scipy.sparse.csr_matrix,
        layers: int,
        order: np.ndarray | None = None,
        blocks: int = 8,
    ) -> None:
        nodes = graph.shape[0]
        order = np.arange(nodes) if order is None else order
        place = np.empty(nodes, np.int32)
        place[order] = np.arange(nodes)
        computed = graph[:, order]
        size = max(1, -(-nodes // blocks))
        self._starts = range(0, nodes, size)
        with tf.init_scope():
            self._graph = _compressed(computed[order])
            self._blocks = [_compressed(computed[s : s + size]) for s in self._starts]
            self._order = tf.constant(order, tf.int32)
            self._place = tf.constant(place)
        self._layers = layers
        self._degree = np.diff(graph.indptr)[order]

    def __call__(self, table: tf.Tensor) -> tf.Tensor:
        """The propagated table, float32 [n, d] of [n, d]; it has no gradient."""
        total = self._sum_of_layers(tf.gather(table, self._order))
        return tf.stop_gradient(tf.gather(total, self._place) / (self._layers + 1))

    def rows(self, nodes: tf.Tensor, hidden: Edges | None = None) -> DenseFunction:
        """Rows of the propagated table and of the table itself, as its function.

        Both at once, because a sum of two gradients of the table would be one more
        table.

        Args:
          nodes: int [k], may repeat.
          hidden: edges of the graph to leave out, in both directions.

        Returns:
          Maps a table float32 [n, d] to two float32 [k, d], and their gradients to
          that of the table. A block of this has all its columns, whoever needs few
          of them: TensorFlow has no product that is computed at given places.
        """
        unique, which = tf.unique(nodes)
        places = tf.gather(self._place, unique)
        if hidden is not None:
            hidden = self._both_ways(hidden)

        def function(table: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Backward]:
            total = self._sum_of_layers(tf.gather(table, self._order), hidden)
            propagated = tf.gather(total, places) / (self._layers + 1)
            own = tf.gather(table, unique)

            def backward(
                of_propagated: tf.Tensor, of_own: tf.Tensor
            ) -> Iterator[tf.Tensor]:
                mean, first = (
                    tf.math.unsorted_segment_sum(each, which, tf.size(unique))
                    for each in (of_propagated / (self._layers + 1), of_own)
                )
                total = tf.scatter_nd(places[:, None], mean, table.shape)
                for _ in range(self._layers - 1):
                    product = self._product(total, hidden)
                    total = tf.tensor_scatter_nd_add(product, places[:, None], mean)
                yield from self._last_sum(total, unique, mean + first, hidden)

            return (tf.gather(propagated, which), tf.gather(own, which)), backward

        return function

    def macs(self, table: tf.Tensor) -> list[int]:
        """Multiply-accumulates of each hop, zeros of its operand not counted.

        Args:
          table: float32 [n, d].
        """
        hops = []
        first = total = tf.gather(table, self._order)
        for hop in range(self._layers):
            if hop:
                total = first + self._product(total, None)
            nonzeros = tf.math.count_nonzero(total, axis=1).numpy()
            hops.append(int(self._degree @ nonzeros))
        return hops

    def _sum_of_layers(
        self, table: tf.Tensor, hidden: Edges | None = None
    ) -> tf.Tensor:
        """Σ_k Â^k of a table in the order of the computation."""
        total = table
        for _ in range(self._layers):
            total = table + self._product(total, hidden)
        return total

    def _product(self, table: tf.Tensor, hidden: Edges | None) -> tf.Tensor:
        """Â of a table in the order of the computation."""
        product = tf.raw_ops.SparseMatrixMatMul(a=self._graph, b=table)
        if hidden is not None:
            over = tf.gather(table, hidden.end) * hidden.weight[:, None]
            product = tf.tensor_scatter_nd_sub(product, hidden.begin[:, None], over)
        return tf.ensure_shape(product, table.shape)

    def _last_sum(
        self, table: tf.Tensor, rows: tf.Tensor, values: tf.Tensor, hidden: Edges | None
    ) -> Iterator[tf.Tensor]:
        """Â of a table plus values in some rows, by blocks of the nodes as they are.

        Args:
          table: float32 [n, d], in the order of the computation.
          rows: int32 [r], nodes.
          values: float32 [r, d].
          hidden: as in `rows`, both ways, between places.
        """
        if hidden is not None:
            over = tf.gather(table, hidden.end) * hidden.weight[:, None]
            rows = tf.concat([rows, tf.gather(self._order, hidden.begin)], axis=0)
            values = tf.concat([values, -over], axis=0)
        nodes, width = table.shape
        for start, graph in zip(self._starts, self._blocks, strict=True):
            stop = min(start + self._starts.step, nodes)
            product = tf.zeros([stop - start, width])
            if self._layers:
                product = tf.raw_ops.SparseMatrixMatMul(a=graph, b=table)
            here = tf.where((rows >= start) & (rows < stop))
            yield tf.tensor_scatter_nd_add(
                tf.ensure_shape(product, [stop - start, width]),
                tf.gather_nd(rows, here)[:, None] - start,
                tf.gather_nd(values, here),
            )

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


def _compressed(matrix: scipy.sparse.csr_matrix) -> tf.Tensor:
    """A CSR matrix of TensorFlow's, a variant tensor."""
    matrix = matrix.tocsr()
    matrix.sort_indices()
    entries = matrix.tocoo()
    return _convert(
        np.stack([entries.row, entries.col], axis=1).astype(np.int64),
        entries.data,
        np.array(matrix.shape, np.int64),
    )


@tf.function(
    autograph=False,
    input_signature=[
        tf.TensorSpec([None, 2], tf.int64),
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([2], tf.int64),
    ],
)
def _convert(
    indices: tf.Tensor, values: tf.Tensor, dense_shape: tf.Tensor
) -> tf.Tensor:
    """A CSR matrix of sorted entries.

    As a function, which notes type and shape on what it returns: without them
    another function could not take the matrix in.
    """
    return tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=indices, values=values, dense_shape=dense_shape
    )
