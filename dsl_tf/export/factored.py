"""A graph model served from what its table is made of: layer 0, and the interactions.

The propagated table is dense, however sparse layer 0 is. So a server may store
layer 0 and the graph instead, which it has anyway as the users' histories, and
propagate once when it loads the model. A `.tflite` file cannot: nobody's history may
be in it.
"""

import hashlib

import tensorflow as tf

from dsl_tf.export.codings import nbytes
from dsl_tf.export.frozen import FrozenModel, Graph
from dsl_tf.export.layouts import store
from dsl_tf.export.saved_model import ServingModule
from dsl_tf.export.tables import Rows


class FactoredModule(ServingModule):
    """The `ServingModule` of a graph model, without its propagated table in the file.

    In memory it has the table, float32, beside what it is made of.

    Args:
      frozen: the model to serve.
      k: length of a ranking.

    Raises:
      ValueError: it is no graph model.
    """

    def _tables(self, frozen: FrozenModel) -> tuple[Rows, Rows]:
        if frozen.graph is None:
            raise ValueError("`frozen` must have a `graph`. Received: None.")
        self.first = (
            store(frozen.graph.users, "float32", "small"),
            store(frozen.graph.items, "float32", "small"),
        )
        self.counts = tf.Variable(frozen.graph.counts, trainable=False)
        table = PropagatedTable(self, frozen.graph, _digest(frozen, frozen.graph))
        self.resources = (table,)
        users, items = self.first
        return (
            _Part(table, 0, users.nbytes),
            _Part(table, frozen.num_users, items.nbytes),
        )

    @property
    def history_bytes(self) -> int:
        """Bytes of the users' histories, which are the graph too."""
        return super().history_bytes + nbytes(self.counts)


class PropagatedTable(tf.saved_model.experimental.TrackableResource):
    """The mean of the layers 0 … L of LightGCN, made when the model is loaded.

    A SavedModel holds how the table is made, not the table: its numbers lie in a
    resource that the loader fills, in Python and in TensorFlow Serving. It has the
    form of a variable that is never restored.

    Args:
      module: what the table is made of.
      graph: its sizes.
      name: of the resource. Models loaded into one process share what has the same
        name, so it must tell models apart.
    """

    def __init__(self, module: FactoredModule, graph: Graph, name: str) -> None:
        super().__init__()
        self._module, self._graph, self._name = module, graph, name
        self._sizes = (graph.users.shape[0], graph.items.shape[0])
        self._shape = [sum(self._sizes), graph.items.shape[1]]
        _ = self.resource_handle  # makes the resource
        self._initialize()

    def rows(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows of the table, users first: int [n] to float32 [n, d]."""
        return tf.raw_ops.ResourceGather(
            resource=self.resource_handle, indices=rows, dtype=tf.float32
        )

    # The next two are saved with the model; their names are TensorFlow's.

    def _create_resource(self) -> tf.Tensor:
        return tf.raw_ops.VarHandleOp(
            dtype=tf.float32, shape=self._shape, shared_name=self._name, container=""
        )

    def _initialize(self) -> None:
        tf.raw_ops.AssignVariableOp(
            resource=self.resource_handle, value=self._propagated()
        )

    def _propagated(self) -> tf.Tensor:
        num_users, num_items = self._sizes
        module = self._module
        begin = module.history_offsets[:-1]
        edges = tf.ragged.range(begin, begin + tf.cast(module.counts, begin.dtype))
        user = tf.cast(edges.value_rowids(), tf.int32)
        item = tf.gather(module.history, edges.values)
        per_user = tf.math.bincount(user, minlength=num_users, dtype=tf.float32)
        per_item = tf.math.bincount(item, minlength=num_items, dtype=tf.float32)
        weights = tf.math.rsqrt(tf.gather(per_user, user) * tf.gather(per_item, item))
        indices = tf.cast(tf.stack([user, item], axis=1), tf.int64)
        graph = tf.SparseTensor(indices, weights, [num_users, num_items])

        first_users, first_items = (
            table.rows(tf.range(size))
            for table, size in zip(module.first, self._sizes, strict=True)
        )
        users, items = first_users, first_items
        for _ in range(self._graph.num_layers):
            users, items = (
                first_users + tf.sparse.sparse_dense_matmul(graph, items),
                first_items
                + tf.sparse.sparse_dense_matmul(graph, users, adjoint_a=True),
            )
        # Those out of the graph have no vector, as in the backbone.
        in_graph = tf.concat([per_user, per_item], axis=0) > 0
        mean = tf.concat([users, items], axis=0) / (self._graph.num_layers + 1)
        return tf.where(in_graph[:, None], self._graph.vectors(mean), 0.0)


class _Part(tf.Module):
    """Rows of a propagated table, from one on.

    Args:
      table: the table.
      begin: the first of its rows.
      nbytes: of what the rows are made of.
    """

    def __init__(self, table: PropagatedTable, begin: int, nbytes: int) -> None:
        super().__init__()
        self._table, self._begin, self._nbytes = table, begin, nbytes

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        return self._table.rows(tf.cast(ids, tf.int32) + self._begin)


def _digest(frozen: FrozenModel, graph: Graph) -> str:
    """A name that models share only if they have the same table."""
    content = hashlib.sha256(repr(graph.items.shape).encode())
    arrays = [frozen.history_offsets, frozen.history, graph.counts]
    for table in (frozen.users, frozen.items):
        arrays += [table.indptr, table.indices, table.data]
    for array in arrays:
        content.update(array.tobytes())
    return f"propagated_table_{content.hexdigest()[:16]}"
