"""Tables whose rows mix candidates of several sizes (AutoEmb, Zhao et al. 2021)."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf.layers.sized import (
    CategoryNetwork,
    SizedEmbedding,
    SizedTables,
    candidate_sizes,
    popularity_buckets,
)


class Mixture(NamedTuple):
    """How the candidates of a table's rows are mixed.

    Attributes:
      buckets: int [n], the bucket of each row.
      logits: float32 [B, K], of the weights in each bucket.
    """

    buckets: np.ndarray
    logits: np.ndarray


class MixedEmbedding(SizedEmbedding):
    """e_i = Σ_k w_k(b_i) tanh(E_k[i] M_k), with w a softmax for the row's bucket b_i.

    The weights are a controller's, a `CategoryNetwork` on the bucket, or given. Either
    way they are no trainable variables of the model: the controller is trained by
    other batches than the tables.

    The re-implementation that others compare with normalises each candidate by batch
    before the tanh. Not so here: the statistics would be of the rows that a batch
    happens to hold, and a row that is looked up alone, or as one of all (a graph
    model's layer 0), would not be the row that was trained. M_k starts with a variance
    of K² / d_k instead: all candidates begin on one scale, and, mixed with weights of
    1 / K, each moves the row in a step as far as a dense row moves.

    Args:
      input_dim: n, rows.
      output_dim: d, their width.
      sizes: d_k.
      embeddings_initializer: of each E_k.
      buckets: int [n], from 0.
      hidden: units of the controller.
      logits: of the weights, float32 [B, K]; None: a controller's.
      **kwargs: as for `SizedEmbedding`.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        sizes: Sequence[int],
        embeddings_initializer: keras.initializers.Initializer,
        buckets: np.ndarray,
        hidden: int = 512,
        logits: np.ndarray | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim, output_dim, sizes, embeddings_initializer, buckets, **kwargs
        )
        self._hidden = hidden
        self._given = logits
        self.controller: CategoryNetwork | None = None

    def build(self, input_shape: Any = None) -> None:
        """Create the candidates, their maps, and the controller or its weights."""
        self.candidates = self._add_candidates([self.input_dim] * len(self.sizes))
        self.maps = [
            self.add_weight(
                name=f"map_{size}",
                shape=(size, self.output_dim),
                initializer=keras.initializers.VarianceScaling(
                    len(self.sizes) ** 2, "fan_in", seed=self._key(f"map_{size}")
                ),
            )
            for size in self.sizes
        ]
        # A variable, because it is a part of the model, and of its bytes.
        self.bucket = self.add_weight(
            name="bucket",
            shape=(self.input_dim,),
            dtype=tf.uint8,
            initializer=keras.initializers.Constant(self.buckets),
            trainable=False,
        )
        self._every = np.arange(self.buckets.max() + 1)
        if self._given is None:
            self.controller = CategoryNetwork(
                [len(self._every)],
                self._hidden,
                [0.0] * len(self.sizes),
                self._key("controller"),
                name="controller",
                trainable=False,
            )
        else:
            self.given = self.add_weight(
                name="logits",
                shape=self._given.shape,
                initializer=keras.initializers.Constant(self._given),
                trainable=False,
            )
        super().build(input_shape)

    def make(self, rows: tf.Tensor) -> tf.Tensor:
        """See `SizedEmbedding.make`."""
        bucket = tf.cast(tf.gather(self.bucket, rows), tf.int32)
        weights = tf.gather(tf.nn.softmax(self.logits()), bucket)
        return tf.add_n(
            [
                weights[:, k, None] * tf.tanh(tf.matmul(tf.gather(table, rows), map_))
                for k, (table, map_) in enumerate(
                    zip(self.candidates, self.maps, strict=True)
                )
            ]
        )

    def logits(self) -> tf.Tensor:
        """Of the weights in each bucket, [B, K]."""
        if self.controller is None:
            return tf.convert_to_tensor(self.given)
        return self.controller([self._every])

    def mixture(self) -> Mixture:
        """How the rows are mixed now."""
        return Mixture(self.buckets, self.logits().numpy())

    def mean_size(self) -> float:
        """The mean over rows of Σ_k w_k d_k."""
        weights = tf.nn.softmax(self.logits()).numpy()
        return float((weights @ np.array(self.sizes))[self.buckets].mean())

    def controller_macs(self) -> int:
        """Multiply-accumulates of all weights, bucket by bucket; 0 where given."""
        if self.controller is None:
            return 0
        return len(self._every) * self.controller.macs()

    def row_macs(self) -> float:
        """Of all maps, and of the mixture."""
        return float((sum(self.sizes) + len(self.sizes)) * self.output_dim)


@dataclasses.dataclass(frozen=True, eq=False)
class MixedTables(SizedTables):
    """`MixedEmbedding` tables.

    Attributes:
      hidden: units of each table's controller.
      given: how the rows of the tables are mixed, one after the other in the order in
        which they are asked for; None: by controllers.
    """

    hidden: int = 512
    given: Iterator[Mixture] | None = None

    def _table(
        self,
        kind: str,
        width: int,
        name: str,
        initializer: keras.initializers.Initializer,
    ) -> MixedEmbedding:
        if self.given is None:
            buckets, logits = popularity_buckets(*self._use(kind)), None
        else:
            buckets, logits = next(self.given)
        return MixedEmbedding(
            self._rows(kind),
            width,
            candidate_sizes(width, self.fractions),
            initializer,
            buckets,
            hidden=self.hidden,
            logits=logits,
            kind=kind,
            name=name,
        )
