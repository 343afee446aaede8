"""LightGCN: embeddings propagated over the graph of users and items.

He et al., "LightGCN", SIGIR 2020, sec. 3.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf import streams
from dsl_tf.backbones._dot_product import DotProductBackbone
from dsl_tf.backbones.base import Prepared
from dsl_tf.data.graph import adjacency, isolated, locality_order
from dsl_tf.errors import check_keys
from dsl_tf.layers import losses
from dsl_tf.layers.logits import dot_logits
from dsl_tf.layers.propagation import Edges, MeanPropagation
from dsl_tf.layers.tables import TableFactory
from dsl_tf.plugins import choose
from dsl_tf.types import LayerMacs, Split

#: Keys of the config that are widths of tables.
WIDTHS = ("embedding_dim",)

#: Keys of `model` that what the same tables score depends on, and no shape does.
SCORED_BY = ("num_layers", "similarity", "temperature")

#: Dense forms that a step holds: the table, the same in the order of the computation,
#: the sum of layers and the product that is added to it.
_TABLES_AT_ONCE = 4


def build(
    config: config_dict.ConfigDict, split: Split, tables: TableFactory, seed: int
) -> "LightGCN":
    """LightGCN of the config node `model`, over the graph of the training part.

    Raises:
      UserError: a key is out of range.
    """
    check_keys(
        "model",
        config,
        embedding_dim=(config.embedding_dim >= 1, "at least 1"),
        num_layers=(config.num_layers >= 0, "at least 0"),
        initial_stddev=(config.initial_stddev > 0, "above 0"),
        temperature=(config.temperature > 0, "above 0"),
        regularization=(config.regularization >= 0, "at least 0"),
    )
    return LightGCN(
        split,
        tables,
        embedding_dim=config.embedding_dim,
        num_layers=config.num_layers,
        loss=config.loss,
        similarity=config.similarity,
        temperature=config.temperature,
        regularization=config.regularization,
        initial_stddev=config.initial_stddev,
        hide_positives=config.hide_positives,
        seed=seed,
    )


class LightGCN(DotProductBackbone):
    """logit = sim(e_u, e_i) / τ, with e the mean of the layers 0 … L (eq. 4).

    A layer is the last one times the normalised adjacency (eq. 3), without
    weights of its own. Only layer 0 is trained, and is sparse where the tables
    are; what is propagated is dense, and exists as an activation in training.

    A user or item without training interactions is not in the graph: its vector
    is zero (the original keeps the untrained one), so it scores as nobody's.

    Args:
      split: its training part is the graph.
      tables: makes the tables.
      embedding_dim: d.
      num_layers: L; 0 is matrix factorisation.
      loss: `"bpr"` (the paper's), `"bce"` or `"sampled_softmax"`.
      similarity: `"dot"`, the inner product (the paper's), or `"cosine"`.
      temperature: τ; 1 is the paper's.
      regularization: weight of half the squared norms of a batch's rows of
        layer 0, over its positives (eq. 15; as the authors' code does it).
      initial_stddev: of the weights, which are normal: .01 in the authors'
        TensorFlow code, .1 in their PyTorch code.
      hide_positives: leave the edges of a batch's positives out of the graph that
        it is scored by. What is asked for in a test is never an edge, but every
        training positive is, and shows a user's vector the item that is asked for.
        What is no edge, such as a pair of the validation part, hides none.
      seed: seeds initial weights.
    """

    def __init__(
        self,
        split: Split,
        tables: TableFactory,
        embedding_dim: int,
        num_layers: int,
        loss: str = "bpr",
        similarity: str = "dot",
        temperature: float = 1.0,
        regularization: float = 1e-4,
        initial_stddev: float = 0.1,
        hide_positives: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(name="lightgcn")
        self.num_users, self.num_items = split.num_users, split.num_items
        self.num_layers = num_layers
        self._loss = losses.find(loss)
        self._similarity = choose(_SIMILARITIES, similarity, "model.similarity")
        self._temperature = temperature
        self._regularization = regularization
        initial = keras.initializers.RandomNormal(
            stddev=initial_stddev, seed=streams.key(seed, "initial/lightgcn")
        )
        self.tables = tables.user_item(embedding_dim, "lightgcn", initial)
        for look_up in self.tables.look_ups().values():  # makes the tables
            look_up(tf.zeros([1], tf.int32))
        graph = adjacency(split.train, self.num_users, self.num_items)
        self._propagated = MeanPropagation(
            graph, num_layers, locality_order(graph, self.num_users)
        )
        self.activation_bytes = _TABLES_AT_ONCE * 4 * graph.shape[0] * embedding_dim
        self._hop_gradient_macs = len(graph.data) * embedding_dim
        degree = np.diff(graph.indptr)
        in_graph = degree > 0
        self._norm = tf.constant(1 / np.sqrt(np.maximum(degree, 1)), tf.float32)
        self._pairs: tf.Tensor | None = None
        if hide_positives:
            edges = split.train.csr(self.num_users, self.num_items).tocoo()
            pairs = edges.row.astype(np.int64) * self.num_items + edges.col
            self._pairs = tf.constant(np.sort(pairs))
        self._in_graph = tf.constant(in_graph)
        if outside := isolated(*np.split(degree, [self.num_users])):
            self.findings = (f"{outside}: their vectors are 0.",)

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Logits of a batch's positives and negatives, [B, 1 + n]."""
        return self.logits_with(inputs, [inputs["negatives"]])[0]

    def logits_with(
        self, inputs: Mapping[str, tf.Tensor], sets: Sequence[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Logits with several sets of negatives; see `Backbone.logits_with`."""
        (users, items, *others), _ = self._rows(inputs, sets)
        return [dot_logits(users, items, each) for each in others]

    def compute_loss(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """The loss of a batch; see `Backbone.compute_loss`."""
        vectors, first = self._rows(inputs, [inputs["negatives"]])
        loss = self._loss(dot_logits(*vectors))
        if not self._regularization:
            return loss
        return loss + self._regularization * losses.half_squared_norms(*first)

    def _rows(
        self, inputs: Mapping[str, tf.Tensor], sets: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Vectors of a batch, and its rows of layer 0.

        Each of its users [B, d], items [B, d] and of every set of negatives [G, n, d].
        Looked up together, so that their gradients make one table, not three.
        """
        nodes = [
            inputs["user"],
            *(items + self.num_users for items in (inputs["item"], *sets)),
        ]
        every = tf.concat([tf.reshape(each, [-1]) for each in nodes], axis=0)
        hidden = self._edges(inputs["user"], inputs["item"])
        propagated, first = self.tables.through(self._propagated.rows(every, hidden))
        return _parted(self.vectors(propagated), nodes), _parted(first, nodes)

    def batch_vectors(
        self, inputs: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Propagated rows of a batch's users and items, [B, d] each."""
        (users, items), _ = self._rows(inputs, [])
        return users, items

    def _edges(self, users: tf.Tensor, items: tf.Tensor) -> Edges | None:
        """The edges to hide of a batch's positives, each once."""
        if self._pairs is None:
            return None
        asked = tf.cast(users, tf.int64) * self.num_items + tf.cast(items, tf.int64)
        asked, _ = tf.unique(asked)
        place = tf.searchsorted(self._pairs, asked)
        there = tf.gather(self._pairs, tf.minimum(place, len(self._pairs) - 1)) == asked
        asked = tf.boolean_mask(asked, there)
        users = tf.cast(asked // self.num_items, tf.int32)
        items = tf.cast(asked % self.num_items, tf.int32) + self.num_users
        weight = tf.gather(self._norm, users) * tf.gather(self._norm, items)
        return Edges(users, items, weight)

    def vectors(self, propagated: tf.Tensor) -> tf.Tensor:
        """What scores are inner products of, from propagated rows [n, d].

        τ is shared by users and items, so that their weights are of one size.
        """
        return self._similarity(propagated) / self._temperature**0.5

    def prepared(self) -> Prepared:
        """All vectors, users first, [N + M, d]."""
        table = self.vectors(self._propagated(self.tables.whole()))
        return {"table": tf.where(self._in_graph[:, None], table, 0.0)}

    def user_vectors(
        self, query: Mapping[str, tf.Tensor], prepared: Prepared | None = None
    ) -> tf.Tensor:
        """e_u, [B, embedding_dim]."""
        table = (prepared or self.prepared())["table"]
        return tf.gather(table, query["user_id"])

    def item_vectors(
        self, items: tf.Tensor | None = None, prepared: Prepared | None = None
    ) -> tf.Tensor:
        """e_i, [n, embedding_dim]."""
        table = (prepared or self.prepared())["table"]
        if items is None:
            return table[self.num_users :]
        return tf.gather(table, items + self.num_users)

    def macs(self, users: np.ndarray, items: np.ndarray) -> dict[str, LayerMacs]:
        """A pair takes Σ users · items; before it, once, each hop of the propagation.

        A hop takes, for each entry of the adjacency (two an interaction), the
        non-zeros of the row that it leads to: of the table in the first hop, of
        what has become of it in the later ones, where next to nothing is zero. Its
        gradient is dense: 2 |E| · d.
        """
        hops = self._propagated.macs(self.tables.whole())
        return {
            **{
                f"propagation, hop {place}": LayerMacs(
                    once=once, once_backward=self._hop_gradient_macs
                )
                for place, once in enumerate(hops, 1)
            },
            **super().macs(users, items),
        }


#: Of two rows, as what each of them is before their inner product.
_SIMILARITIES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "dot": tf.identity,
    "cosine": lambda rows: tf.math.l2_normalize(rows, axis=-1),
}


def _parted(rows: tf.Tensor, nodes: list[tf.Tensor]) -> list[tf.Tensor]:
    """Rows [k, d] as one tensor [..., d] for each tensor [...] of nodes."""
    parts = tf.split(rows, [tf.size(each) for each in nodes])
    return [
        tf.reshape(part, tf.concat([tf.shape(each), part.shape[1:]], axis=0))
        for part, each in zip(parts, nodes, strict=True)
    ]
