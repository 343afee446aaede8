"""Functions of a matrix's dense form that never have its dense gradient.

A graph model needs all rows at once in the forward pass. In the backward pass it
can give the gradient of some rows after the other; what is stored takes from each
block what it needs, and the block is dropped.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf

#: Gradients of outputs to that of the dense form, in blocks of rows [b, width] from
#: the first to the last. Their number of rows is known when a graph is traced.
Backward = Callable[..., Iterable[tf.Tensor]]
#: The dense form [rows, width] to outputs, and the way back from these.
DenseFunction = Callable[[tf.Tensor], tuple[tuple[tf.Tensor, ...], Backward]]


class Expansion(NamedTuple):
    """A matrix that becomes dense for a moment.

    Attributes:
      rows: how many it has.
      stored: what is stored of it and has a gradient, such as the non-zeros.
      dense: `stored` to the dense form, [rows, width].
      gradient: the gradient of the dense form, in blocks of rows as in `Backward`,
        to that of `stored`.
    """

    rows: int
    stored: tf.Tensor
    dense: Callable[[tf.Tensor], tf.Tensor]
    gradient: Callable[[Iterator[tf.Tensor]], tf.Tensor]


def of_tensor(table: tf.Tensor) -> Expansion:
    """A matrix that is dense as it is, [rows, width], and so is its gradient."""
    return Expansion(
        table.shape[0], table, tf.identity, lambda blocks: tf.concat([*blocks], axis=0)
    )


@tf.autograph.experimental.do_not_convert  # it warns of generators
def through(
    expansions: Sequence[Expansion], function: DenseFunction
) -> tuple[tf.Tensor, ...]:
    """A function of the dense form of matrices, one below the other; differentiable.

    Args:
      expansions: of matrices of one width.
      function: its own backward pass is used, never TensorFlow's of what it does.

    Returns:
      Its outputs.
    """

    @tf.custom_gradient
    def applied(*stored: tf.Tensor):  # type: ignore[no-untyped-def]
        pairs = zip(expansions, stored, strict=True)
        outputs, backward = function(tf.concat([e.dense(s) for e, s in pairs], axis=0))

        def gradient(*upstream: tf.Tensor) -> list[tf.Tensor]:
            blocks = _Rows(backward(*upstream))
            return [each.gradient(blocks.take(each.rows)) for each in expansions]

        return outputs, gradient

    outputs: tuple[tf.Tensor, ...] = applied(*(each.stored for each in expansions))
    return outputs


class _Rows:
    """Rows that come in blocks and are wanted in others."""

    def __init__(self, blocks: Iterable[tf.Tensor]) -> None:
        self._blocks = iter(blocks)
        self._left: tf.Tensor | None = None

    def take(self, rows: int) -> Iterator[tf.Tensor]:
        """The next `rows` rows; a block that goes further is cut in two."""
        while rows:
            block = next(self._blocks) if self._left is None else self._left
            self._left = None
            if block.shape[0] > rows:
                block, self._left = block[:rows], block[rows:]
            rows -= block.shape[0]
            yield block
