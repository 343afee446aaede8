"""Backbones whose vectors are the rows of one pair of tables."""

from collections.abc import Mapping

import tensorflow as tf

from dsl_tf.backbones.base import Backbone, Prepared
from dsl_tf.layers.tables import UserItemTables


class TableVectors(Backbone):
    """A backbone that looks its vectors up, and makes nothing of them.

    Attributes:
      tables: of users and items, of one width d.
    """

    tables: UserItemTables

    def user_vectors(
        self, query: Mapping[str, tf.Tensor], prepared: Prepared | None = None
    ) -> tf.Tensor:
        """Rows of users, [B, d]."""
        del prepared
        return self.tables.users(query["user_id"])

    def item_vectors(
        self, items: tf.Tensor | None = None, prepared: Prepared | None = None
    ) -> tf.Tensor:
        """Rows of items, or of all, [n, d]."""
        del prepared
        rows = tf.range(self.num_items) if items is None else items
        return self.tables.items(rows)
