"""Milliseconds of the last hop of LightGCN's backward pass, all of it or where needed.

What grows by the gradients of sampled rows (SparseRec) needs the last product, the
gradient of the table, in those rows, and elsewhere at positions with a weight only.
TensorFlow's product of a CSR matrix and a table makes whole rows. Here the product of
all rows stands beside that of the sampled ones, and that of single positions made of
gathers and a sum by segments, which is what the built-in operations offer. L=3, d=64,
on Gowalla (from `DSL_TF_DATA`; generated interactions of its size without it); half of
the rows are sampled in proportion to their degree. `products` are multiply-accumulates
of the part, as a share of all.
"""

import statistics
import time
from collections.abc import Callable, Iterator

import dsl_tf  # noqa: F401  (first: it selects the Keras)

# isort: split
import numpy as np
import scipy.sparse
import tensorflow as tf

from benchmarks import Row, main
from benchmarks.lightgcn import WIDTH, split_of
from dsl_tf.data.graph import adjacency

SPARSITIES, SAMPLED = (0.5, 0.8, 0.95), 0.5
#: Products at a time, which bounds memory.
AT_ONCE = 4_000_000
ROUNDS, WARM = 9, 2


def product(graph: scipy.sparse.csr_matrix, table: tf.Tensor) -> Callable[[], None]:
    """Whole rows, by TensorFlow's product."""
    entries = graph.tocoo()
    indices = np.stack([entries.row, entries.col], axis=1).astype(np.int64)
    compressed = tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=indices, values=entries.data, dense_shape=np.array(graph.shape)
    )
    return lambda: tf.raw_ops.SparseMatrixMatMul(a=compressed, b=table).numpy()


def at_positions(
    graph: scipy.sparse.csr_matrix, table: tf.Tensor, rows: np.ndarray, cols: np.ndarray
) -> Callable[[], None]:
    """Single positions, in parts of at most about `AT_ONCE` products."""
    pointers, neighbours, weights = map(
        tf.constant, (graph.indptr, graph.indices, graph.data)
    )
    values = tf.reshape(table, [-1])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)] * 2)
    def part(rows: tf.Tensor, cols: tf.Tensor) -> tf.Tensor:
        begin = tf.gather(pointers, rows)
        count = tf.gather(pointers, rows + 1) - begin
        which = tf.repeat(tf.range(tf.size(rows)), count)
        shift = begin - tf.cumsum(count, exclusive=True)
        edge = tf.range(tf.size(which)) + tf.gather(shift, which)
        place = tf.gather(neighbours, edge) * table.shape[1] + tf.gather(cols, which)
        each = tf.gather(weights, edge) * tf.gather(values, place)
        return tf.math.segment_sum(each, which)

    upto = np.cumsum(np.diff(graph.indptr)[rows])
    cuts = np.searchsorted(upto, np.arange(AT_ONCE, upto[-1], AT_ONCE))
    parts = [
        tuple(map(tf.constant, both))
        for both in zip(np.split(rows, cuts), np.split(cols, cuts), strict=True)
    ]
    return lambda: [part(*each).numpy() for each in parts]


def seconds(make: Callable[[], None]) -> float:
    """The median of several rounds."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        make()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[WARM:])


def measure(quick: bool) -> Iterator[Row]:
    split, rng = split_of(quick), np.random.default_rng(0)
    graph = adjacency(split.train, split.num_users, split.num_items)
    nodes, degree = graph.shape[0], np.diff(graph.indptr)
    table = tf.constant(rng.normal(size=(nodes, WIDTH)).astype(np.float32))
    key = np.log(np.maximum(degree, 1e-9)) + rng.gumbel(size=nodes)
    sampled = np.argsort(-key)[: round(SAMPLED * nodes)]
    rest = np.setdiff1d(np.arange(nodes), sampled)
    whole = seconds(product(graph, table))
    yield Row("all rows", "", whole * 1e3, "ms")
    one = seconds(product(graph[sampled], table))
    yield Row("sampled rows", "", one * 1e3, "ms", whole / one)
    yield Row("sampled rows: products", "", degree[sampled].sum() / degree.sum(), "")
    for sparsity in SPARSITIES:
        row, col = np.nonzero(rng.random((len(rest), WIDTH)) >= sparsity)
        row, col = rest[row].astype(np.int32), col.astype(np.int32)
        took, setting = seconds(at_positions(graph, table, row, col)), f"s={sparsity}"
        yield Row("positions elsewhere", setting, took * 1e3, "ms")
        share = degree[row].sum() / (degree.sum() * WIDTH)
        yield Row("positions elsewhere: products", setting, share, "")


if __name__ == "__main__":
    main(measure, "Milliseconds of the last hop of LightGCN's backward pass.")
