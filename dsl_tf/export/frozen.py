"""Everything an export needs from a trained backbone and its split."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.backbones._autoencoder import Autoencoder
from dsl_tf.backbones._dot_product import DotProductBackbone
from dsl_tf.backbones.base import WEIGHTS_AT_ONCE, Backbone
from dsl_tf.backbones.lightgcn import LightGCN
from dsl_tf.evaluation.ties import TieOrder
from dsl_tf.export.codings import nbytes
from dsl_tf.export.encoder import EncodedUsers, Encoder
from dsl_tf.export.hashed import HashedRows, StoredHashedRows, hashed_rows
from dsl_tf.export.layouts import store
from dsl_tf.export.tables import Table
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.layers.rounding import Rounding
from dsl_tf.types import Split


@dataclasses.dataclass(frozen=True)
class Graph:
    """What the vectors of a graph model are made of.

    Attributes:
      users: float32 [num_users, d], layer 0.
      items: float32 [num_items, d], layer 0 by position.
      counts: int32 [num_users], how many items of each history in `FrozenModel`,
        the first ones, are edges.
      num_layers: L.
      vectors: propagated rows [n, d] to the vectors of the model.
    """

    users: scipy.sparse.csr_matrix
    items: scipy.sparse.csr_matrix
    counts: np.ndarray
    num_layers: int
    vectors: Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class FrozenModel:
    """A trained recommender as plain arrays and one function.

    A *position* is the place of an item in the tie order. Everything that
    concerns items is stored by position, so that `top_k`, which prefers the lower
    index among equal scores, realises the fixed tie-break of the evaluation.

    Attributes:
      users: float32 [num_users, du], the non-zeros of the user vectors.
      items: float32 [num_items, di], those of the item vectors, by position.
      order: between positions and item ids.
      popularity: int64 [num_items], training interactions by position.
      history_offsets: int [num_users + 1]; the history of user u is
        `history[history_offsets[u]:history_offsets[u + 1]]`.
      history: int32 [n], positions of the items that a user's vector may be made
        of (training items, or those folded in), then of validation items.
      interaction: `(users [B, du], items [n, di]) -> scores [B, n]`.
      queries: user vectors [B, du] to what item vectors are multiplied with,
        [B, di], where `interaction` is that inner product; else None.
      network: the variables that `interaction` and the encoder read. They are the
        backbone's own, not copies: export before training goes on.
      encoder: what makes user vectors of histories; None where a user's vector
        can only be looked up.
      graph: what `users` and `items` are made of by propagation; else None.
      hashed: which of `users` and `items` a file makes of smaller tables.
      roundings: that rows had in training.
    """

    users: scipy.sparse.csr_matrix
    items: scipy.sparse.csr_matrix
    order: TieOrder
    popularity: np.ndarray
    history_offsets: np.ndarray
    history: np.ndarray
    interaction: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    queries: Callable[[tf.Tensor], tf.Tensor] | None
    network: tuple[tf.Variable, ...]
    encoder: Encoder | None = None
    graph: Graph | None = None
    hashed: Mapping[str, HashedRows] = dataclasses.field(default_factory=dict)
    roundings: tuple[Rounding, ...] = ()

    def stored(self, kind: str, coding: str, layout: str) -> Table | StoredHashedRows:
        """What the vectors of `"users"` or `"items"` are read from in a file.

        Args:
          kind: whose.
          coding: a name in `codings.CODINGS`.
          layout: a name in `layouts.LAYOUTS`.
        """
        if kind in self.hashed:
            return self.hashed[kind].stored(coding)
        return store(getattr(self, kind), coding, layout, self.roundings)

    @property
    def num_users(self) -> int:
        return self.users.shape[0]

    @property
    def num_items(self) -> int:
        return self.items.shape[0]

    @property
    def network_bytes(self) -> int:
        """Bytes of the network's weights; masks are not counted."""
        return sum(nbytes(v) for v in self.network if v.dtype.is_floating)


def freeze(backbone: Backbone, split: Split, seed: int = 0) -> FrozenModel:
    """Read a backbone's tables and a split's histories for export.

    The tables are read some rows at a time, and only their non-zeros are kept.

    Args:
      backbone: a trained backbone over the split's vocabulary.
      split: its training and validation items become the histories.
      seed: the seed of the evaluation's tie-break.

    Raises:
      ValueError: backbone and split differ in the number of users or items.
    """
    sizes = (backbone.num_users, backbone.num_items)
    if sizes != (split.num_users, split.num_items):
        raise ValueError(
            "`backbone` and `split` must have as many users and items. Received: "
            f"{sizes} and {(split.num_users, split.num_items)}."
        )
    order = TieOrder(split.num_items, seed)
    by_position = order.items(np.arange(split.num_items, dtype=np.int64))
    offsets, history = _histories(split, order)
    encoder = None
    if isinstance(backbone, Autoencoder):
        encoder = _encoder(backbone, split, by_position)
        # Not the backbone's vectors: it does not know the users held out.
        users = _table(
            EncodedUsers(encoder, tf.constant(offsets), tf.constant(history)).rows,
            np.arange(split.num_users),
        )
    else:
        users = _of_known(_non_zeros(backbone.user_blocks()), split)
    items = _non_zeros(backbone.item_blocks(by_position))
    widths = [tf.TensorSpec([None, each.shape[1]]) for each in (users, items)]
    network = _variables_of(backbone.interaction, *widths)
    if encoder is not None:
        rows, counts = tf.TensorSpec([None, encoder.width]), tf.TensorSpec([None])
        own = None if encoder.users is None else rows
        network |= _variables_of(encoder.encode, rows, counts, own)
    return FrozenModel(
        users=users,
        items=items,
        order=order,
        popularity=split.popularity()[by_position],
        history_offsets=offsets,
        history=history,
        interaction=backbone.interaction,
        queries=(
            backbone.query_vectors if isinstance(backbone, DotProductBackbone) else None
        ),
        # A trace has them in no fixed order; files shall not differ by it.
        network=tuple(sorted(network.values(), key=lambda variable: variable.name)),
        encoder=encoder,
        hashed=hashed_rows(backbone, order),
        roundings=_roundings(backbone),
        graph=(
            _graph(backbone, split, by_position)
            if isinstance(backbone, LightGCN)
            else None
        ),
    )


def _roundings(backbone: tf.Module) -> tuple[Rounding, ...]:
    tables = (each for each in backbone.submodules if isinstance(each, SparseEmbedding))
    return tuple(each.rounding for each in tables if each.rounding is not None)


def _of_known(users: scipy.sparse.csr_matrix, split: Split) -> scipy.sparse.csr_matrix:
    """Vectors of users, zero of those without training items.

    Theirs is what the training began with and means nothing; zeros are ranked by
    popularity.
    """
    known = _known(split) > 0
    users.data *= np.repeat(known, np.diff(users.indptr))
    users.eliminate_zeros()
    return users


def _histories(split: Split, order: TieOrder) -> tuple[np.ndarray, np.ndarray]:
    """`history_offsets` and `history` of a `FrozenModel`."""
    parts = (split.known(), split.validation)
    users = np.concatenate([part.users for part in parts])
    items = np.concatenate([part.items for part in parts])
    counts = np.bincount(users, minlength=split.num_users)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    by_user = np.argsort(users, kind="stable")  # keeps the first part first
    return (
        offsets.astype(np.int32 if len(users) < 2**31 else np.int64),
        order.positions(items[by_user].astype(np.int64)).astype(np.int32),
    )


def _encoder(backbone: Autoencoder, split: Split, by_position: np.ndarray) -> Encoder:
    """The encoder of an autoencoder.

    The own row of a user without training items is what the training began with:
    it means nothing, and the evaluation asks without it.
    """
    trained = tf.constant(split.activity() > 0)

    def own_rows(users: tf.Tensor) -> tf.Tensor:
        rows = backbone.user_rows(users)
        return tf.where(tf.gather(trained, users)[:, None], rows, 0.0)

    everyone = np.arange(split.num_users)
    has_own = backbone.user_rows(tf.constant(everyone[:1])) is not None
    return Encoder(
        items=_table(backbone.encoder_rows, by_position),
        users=_table(own_rows, everyone) if has_own else None,
        counts=_known(split),
        encode=backbone.encode,
    )


def _graph(backbone: LightGCN, split: Split, by_position: np.ndarray) -> Graph:
    """Layer 0 of a graph model; the histories are its edges."""
    (users,) = backbone.look_ups("users").values()
    (items,) = backbone.look_ups("items").values()
    return Graph(
        users=_table(users, np.arange(split.num_users)),
        items=_table(items, by_position),
        counts=_known(split),
        num_layers=backbone.num_layers,
        vectors=backbone.vectors,
    )


def _known(split: Split) -> np.ndarray:
    """Items of each user that a vector may be made of, int32 [num_users]."""
    known = split.known()
    return np.bincount(known.users, minlength=split.num_users).astype(np.int32)


def _table(
    read: Callable[[tf.Tensor], tf.Tensor], rows: np.ndarray
) -> scipy.sparse.csr_matrix:
    """The rows that a function reads, a block at a time, float32 [n, width]."""
    width = read(tf.constant(rows[:1])).shape[1]
    blocks = np.array_split(rows, -(-len(rows) * width // WEIGHTS_AT_ONCE))
    return _non_zeros(read(tf.constant(block)).numpy() for block in blocks)


def _non_zeros(blocks: Iterable[np.ndarray]) -> scipy.sparse.csr_matrix:
    """Blocks of rows as one matrix, float32 [n, width], columns ascending."""
    return scipy.sparse.vstack([*map(scipy.sparse.csr_matrix, blocks)], format="csr")


def _variables_of(
    function: Callable[..., tf.Tensor], *specs: tf.TensorSpec | None
) -> dict[int, tf.Variable]:
    """The variables that a function of tensors reads, found by tracing it, by id.

    A SavedModel must track each variable that its functions capture, and
    tracking the backbone would save the training tables and the optimiser too.
    """
    trace = tf.function(function, autograph=False).get_concrete_function(*specs)
    return {id(variable): variable for variable in trace.variables}
