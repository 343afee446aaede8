"""What the sparse layers share: the mask's settings and their serialisation."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dsl_tf import storage as storages
from dsl_tf import streams
from dsl_tf.errors import UserError
from dsl_tf.sparsity import initialization
from dsl_tf.storage.base import SparseWeight
from dsl_tf.storage.recorder import GradientRecorder


class SparseLayer(keras.layers.Layer):
    """A Keras layer whose matrices are sparse from the first step.

    Args:
      sparsity: s, the share of each matrix pruned, in [0, 1).
      storage: `"packed"`, whose memory falls with the sparsity, or `"masked"`.
      seed: seeds the first mask, together with the layer's name.
      popularity: real [rows], how often each row is used. Read by pruning criteria
        that ask for it, where rows are sampled, and where the budget is below one
        weight a row: popular rows get theirs first. It is no part of `get_config`.
      mask_initializer: draws the first mask; None: `initialization.random_mask`.
      **kwargs: as for `keras.layers.Layer`.

    Raises:
      UserError: `sparsity` outside [0, 1), or an unknown storage.
    """

    def __init__(
        self,
        *,
        sparsity: float,
        storage: str = "packed",
        seed: int = 0,
        popularity: np.ndarray | None = None,
        mask_initializer: initialization.MaskInitializer | None = None,
        **kwargs: Any,
    ) -> None:
        regularizer = keras.regularizers.get(kwargs.pop("activity_regularizer", None))
        super().__init__(activity_regularizer=regularizer, **kwargs)
        if not 0.0 <= sparsity < 1.0:
            raise UserError(
                f"`sparsity` must be in [0, 1). Received: sparsity={sparsity}."
            )
        self._new_weight = storages.find(storage)
        self.sparsity = float(sparsity)
        self.storage = storage
        self.seed = seed
        self.popularity = popularity
        self.mask_initializer = mask_initializer
        self.own_sparse_weights: list[SparseWeight] = []
        self._recorder_rows: int | None = None
        self._recorded_share = 1.0
        self._recording = False
        self._watched = False
        self._loss_scale: Callable[[], tf.Tensor] | None = None
        self._sampling: np.random.Generator | None = None

    def add_sparse_weight(
        self,
        name: str,
        shape: tuple[int, int],
        initializer: keras.initializers.Initializer,
        regularizer: keras.regularizers.Regularizer | None = None,
    ) -> SparseWeight:
        """Create a sparse matrix [rows, width] owned by this layer.

        Args:
          name: the weight's name within the layer.
          shape: (rows, width).
          initializer: Keras initialiser of the active weights.
          regularizer: takes the vector of the active weights, or None. So it
            never moves a pruned one, and the storage makes no difference.

        Returns:
          The weight; it also stands in `own_sparse_weights`.
        """
        nnz = initialization.budget(shape, self.sparsity)
        generator = streams.generator(self.seed, f"mask/{self.name}/{name}")

        def mask(shape: tuple[int, int]) -> Iterator[np.ndarray]:
            if self.mask_initializer is not None:
                return self.mask_initializer(shape, nnz, generator)
            return initialization.random_mask(shape, nnz, generator, self.popularity)

        if self.popularity is not None and np.shape(self.popularity) != shape[:1]:
            raise UserError(
                f"`popularity` must have a number for each of {shape[0]:,} rows. "
                f"Received: an array of shape {np.shape(self.popularity)}."
            )
        weight = self._new_weight(self, name, shape, mask, nnz, initializer)
        weight.use = self.popularity
        if regularizer is not None:
            self.add_loss(lambda: regularizer(weight.active()))
        self.own_sparse_weights.append(weight)
        if self._recorder_rows is not None:
            self.record_gradients(self._recorder_rows, self._recorded_share)
        return weight

    def build(self, input_shape: Any) -> None:
        """What drew the first masks may be as large as they are; it is let go."""
        self.mask_initializer = None
        super().build(input_shape)

    def record_gradients(self, rows: int, share: float = 1.0) -> None:
        """Give each sparse matrix a recorder, now and when it is built.

        Args:
          rows: the most rows a recorder holds.
          share: of the rows, that are recorded at all.
        """
        alike = (self._recorder_rows, self._recorded_share) == (rows, share)
        self._recorder_rows, self._recorded_share = rows, share
        for weight in self.own_sparse_weights:
            if weight.recorder is None or not alike:
                with tf.init_scope():  # it may be built while `fit` traces
                    weight.recorder = GradientRecorder(
                        *weight.shape,
                        capacity=rows,
                        recording=self._recording,
                        share=share,
                    )
                    if self._sampling is not None:
                        weight.recorder.resample(self.popularity, self._sampling)
            self._tell(weight)

    def record(self, recording: bool) -> None:
        """Switch the recorders on or off, those still to be made too."""
        self._recording = recording
        for weight in self.own_sparse_weights:
            if weight.recorder is not None:
                weight.recorder.recording.assign(recording)

    def resample(self, generator: np.random.Generator) -> None:
        """Choose the rows that are recorded, where not all are, by their use.

        A layer that is not built does so when it is.
        """
        self._sampling = generator
        for weight in self.own_sparse_weights:
            if weight.recorder is not None:
                weight.recorder.resample(self.popularity, generator)

    def watch(
        self, watched: bool, loss_scale: Callable[[], tf.Tensor] | None = None
    ) -> None:
        """Whether a forward pass traced now passes gradients to the recorders.

        On while a training step is traced only: a SavedModel holds the
        gradient functions too, and must not refer to recorders, which are no
        part of the model.

        Args:
          watched: whether it does.
          loss_scale: gives what the loss is multiplied by; None: nothing.
        """
        self._watched, self._loss_scale = watched, loss_scale
        for weight in self.own_sparse_weights:
            self._tell(weight)

    def _tell(self, weight: SparseWeight) -> None:
        weight.watched = self._watched
        if weight.recorder is not None:
            weight.recorder.loss_scale = self._loss_scale

    def get_config(self) -> dict[str, Any]:
        """Everything that makes the layer again; the mask itself is a weight."""
        return {
            **super().get_config(),
            "sparsity": self.sparsity,
            "storage": self.storage,
            "seed": self.seed,
            "activity_regularizer": keras.regularizers.serialize(
                self.activity_regularizer
            ),
        }


def named_weights(layers: Iterable[SparseLayer]) -> dict[str, SparseWeight]:
    """`<layer>/<weight>` to weight, in the order of the layers.

    Layers of nested models may share a name; later ones get a `_` each.
    """
    found: dict[str, SparseWeight] = {}
    for layer in layers:
        for weight in layer.own_sparse_weights:
            name = f"{layer.name}/{weight.name}"
            while name in found:
                name += "_"
            found[name] = weight
    return found
