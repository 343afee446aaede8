"""Scores from a matrix of item-item similarities: neighbourhood models and EASE."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
import scipy.sparse
import tensorflow as tf

from dsl_tf.backbones.base import Backbone, Prepared, count
from dsl_tf.types import LayerMacs, Split

#: [num_items, num_items]; the entry (i, j) is what having i says for j.
Similarities: TypeAlias = np.ndarray | scipy.sparse.csr_matrix


class ItemSimilarity(Backbone):
    """score of j = Σ over the items i of the user's history of similarity (i, j).

    Nothing is trained and there are no variables: the matrix is found in closed form
    or by counting, and SciPy multiplies with it. It is there to be measured beside
    models, not to be exported.

    Args:
      split: its training part is the users' histories.
      similarities: float32.
      name: the model's name.
    """

    exportable = False
    answers_histories = True

    def __init__(self, split: Split, similarities: Similarities, name: str) -> None:
        super().__init__(name=name)
        self.num_users, self.num_items = split.num_users, split.num_items
        self._history = split.train.csr(split.num_users, split.num_items)
        self._history = self._history.astype(np.float32)
        # A function, so that Keras does not look into it.
        self._similarities = lambda: similarities
        parts = [similarities]
        if not isinstance(similarities, np.ndarray):
            parts = [similarities.data, similarities.indices, similarities.indptr]
        self.held_bytes = sum(part.nbytes for part in parts)

    def score(
        self,
        query: Mapping[str, tf.Tensor],
        items: tf.Tensor | None = None,
        prepared: Prepared | None = None,
    ) -> tf.Tensor:
        """Scores of all items, float32 [B, num_items].

        Args:
          query: `user_id` int [B], or `history`, ragged int [B, None] item row numbers
            without duplicates.
          items: not read.
          prepared: not read.
        """
        del items, prepared
        if "history" in query:
            parts = [query["history"].values, query["history"].row_splits]
            scores = tf.numpy_function(self._of_histories, parts, tf.float32)
        else:
            scores = tf.numpy_function(self._of_users, [query["user_id"]], tf.float32)
        return tf.ensure_shape(scores, [None, self.num_items])

    def _of_users(self, users: np.ndarray) -> np.ndarray:
        return self._of(self._history[users])

    def _of_histories(self, items: np.ndarray, starts: np.ndarray) -> np.ndarray:
        shape = (len(starts) - 1, self.num_items)
        ones = np.ones(len(items), np.float32)
        return self._of(scipy.sparse.csr_matrix((ones, items, starts), shape))

    def _of(self, history: scipy.sparse.csr_matrix) -> np.ndarray:
        found = history @ self._similarities()
        dense = found if isinstance(found, np.ndarray) else found.toarray()
        return np.ascontiguousarray(dense, np.float32)

    def compute_loss(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """There is none.

        Raises:
          NotImplementedError: always.
        """
        raise NotImplementedError

    def user_vectors(
        self, query: Mapping[str, tf.Tensor], prepared: Prepared | None = None
    ) -> tf.Tensor:
        """There are none, [B, 0]."""
        return tf.zeros([count(query), 0])

    def item_vectors(
        self, items: tf.Tensor | None = None, prepared: Prepared | None = None
    ) -> tf.Tensor:
        """There are none, [n, 0]."""
        return tf.zeros([self.num_items if items is None else tf.size(items), 0])

    def interaction(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """There is none.

        Raises:
          NotImplementedError: always.
        """
        raise NotImplementedError

    def user_blocks(self, prepared: Prepared | None = None) -> Iterator[np.ndarray]:
        """No column."""
        del prepared
        yield np.zeros((self.num_users, 0), np.float32)

    def item_blocks(
        self, items: np.ndarray, prepared: Prepared | None = None
    ) -> Iterator[np.ndarray]:
        """No column."""
        del prepared
        yield np.zeros((len(items), 0), np.float32)

    def macs(self, users: np.ndarray, items: np.ndarray) -> dict[str, LayerMacs]:
        """A user takes the non-zeros of the rows of the history's items."""
        matrix = self._similarities()
        of_rows = (
            np.full(self.num_items, self.num_items)
            if isinstance(matrix, np.ndarray)
            else np.diff(matrix.indptr)
        )
        per_user = float((self._history @ of_rows).mean())
        return {"similarities": LayerMacs(per_user)}
