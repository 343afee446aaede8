"""Everything an export needs from a trained backbone and its split."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.backbones.base import Backbone, DotProductBackbone
from dsl_tf.evaluation.ties import TieOrder
from dsl_tf.export.codings import nbytes
from dsl_tf.types import Interactions, Split


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
      history: int32 [n], positions of training and validation items.
      interaction: `(users [B, du], items [n, di]) -> scores [B, n]`.
      queries: user vectors [B, du] to what item vectors are multiplied with,
        [B, di], where `interaction` is that inner product; else None.
      network: the variables that `interaction` reads. They are the backbone's
        own, not copies: export before training goes on.
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

    @property
    def num_users(self) -> int:
        return self.users.shape[0]

    @property
    def num_items(self) -> int:
        return self.items.shape[0]

    @property
    def network_bytes(self) -> int:
        """Bytes of the interaction's weights; masks are not counted."""
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
    positions = np.arange(split.num_items, dtype=np.int64)
    parts = (split.train, split.validation)
    seen = Interactions(
        np.concatenate([part.users for part in parts]),
        order.positions(np.concatenate([part.items for part in parts]).astype("int64")),
    ).csr(*sizes)
    users = _non_zeros(backbone.user_blocks())
    items = _non_zeros(backbone.item_blocks(order.items(positions)))
    return FrozenModel(
        users=users,
        items=items,
        order=order,
        popularity=split.popularity()[order.items(positions)],
        history_offsets=seen.indptr,
        history=seen.indices.astype(np.int32),
        interaction=backbone.interaction,
        queries=(
            backbone.query_vectors if isinstance(backbone, DotProductBackbone) else None
        ),
        network=_variables_of(backbone.interaction, users.shape[1], items.shape[1]),
    )


def _non_zeros(blocks: Iterator[np.ndarray]) -> scipy.sparse.csr_matrix:
    """Blocks of rows as one matrix, float32 [n, width], columns ascending."""
    return scipy.sparse.vstack([*map(scipy.sparse.csr_matrix, blocks)], format="csr")


def _variables_of(
    interaction: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    user_width: int,
    item_width: int,
) -> tuple[tf.Variable, ...]:
    """The variables that a function reads, found by tracing it.

    A SavedModel must track each variable that its functions capture, and
    tracking the backbone would save the training tables and the optimiser too.
    """
    trace = tf.function(interaction).get_concrete_function(
        tf.TensorSpec([None, user_width], tf.float32),
        tf.TensorSpec([None, item_width], tf.float32),
    )
    # The trace has them in no fixed order; files shall not differ by it.
    return tuple(sorted(trace.variables, key=lambda variable: variable.name))
