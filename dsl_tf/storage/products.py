"""Products with a matrix that exists a block of rows at a time only.

The dense form of a block is made, used and dropped, in the forward pass and
again in the backward pass, so a training step needs O(block · width) for the
matrix instead of O(rows · width).
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

#: Row numbers int32 [b] to the rows of the matrix, [b, width].
Rows = Callable[[tf.Tensor], tf.Tensor]
#: Row numbers int32 [b] and the gradient [b, width] of these rows to the part of
#: the gradient of the trainable variable that belongs to them, [p, ...].
RowGradient = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
#: Row numbers int32 [b] and a carried tensor to what is collected and carried on.
_Step = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]


def matmul(
    inputs: tf.Tensor, matrix: Rows, gradient: RowGradient, rows: int, block: int
) -> tf.Tensor:
    """`inputs` [B, rows] times the matrix: [B, width].

    Args:
      inputs: float [B, rows].
      matrix: reads rows of the matrix; depends on one trainable variable.
      gradient: maps a row gradient to one of the variable.
      rows: rows of the matrix.
      block: rows in memory at a time.
    """

    @tf.custom_gradient
    def product(inputs: tf.Tensor):  # type: ignore[no-untyped-def]
        def forward(here: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, ...]:
            part = tf.matmul(_columns(inputs, here), matrix(here))
            return (total + part,)

        def backward(
            upstream: tf.Tensor, variables: Sequence[tf.Variable] = ()
        ) -> tuple[tf.Tensor, list[tf.Tensor]]:
            def step(here: tf.Tensor, carried: tf.Tensor) -> tuple[tf.Tensor, ...]:
                # As [b, B]: blocks can be joined along the first axis only.
                to_inputs = tf.matmul(matrix(here), upstream, transpose_b=True)
                to_rows = tf.matmul(_columns(inputs, here), upstream, transpose_a=True)
                return carried, to_inputs, gradient(here, to_rows)

            _, to_inputs, to_variable = _each(
                step, rows, block, tf.constant(0.0), [inputs.dtype, _dtype(variables)]
            )
            return tf.transpose(to_inputs), [to_variable]

        width = matrix(tf.range(0)).shape[1]
        start = tf.zeros([tf.shape(inputs)[0], width], inputs.dtype)
        (outputs,) = _each(forward, rows, block, start, [])
        return outputs, backward

    return product(inputs)


def matmul_transposed(
    inputs: tf.Tensor, matrix: Rows, gradient: RowGradient, rows: int, block: int
) -> tf.Tensor:
    """`inputs` [B, width] times the transposed matrix: [B, rows].

    The arguments are those of `matmul`.
    """

    @tf.custom_gradient
    def product(inputs: tf.Tensor):  # type: ignore[no-untyped-def]
        def forward(here: tf.Tensor, carried: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return carried, tf.matmul(matrix(here), inputs, transpose_b=True)

        def backward(
            upstream: tf.Tensor, variables: Sequence[tf.Variable] = ()
        ) -> tuple[tf.Tensor, list[tf.Tensor]]:
            def step(here: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, ...]:
                part = _columns(upstream, here)
                to_rows = tf.matmul(part, inputs, transpose_a=True)
                return total + tf.matmul(part, matrix(here)), gradient(here, to_rows)

            to_inputs, to_variable = _each(
                step, rows, block, tf.zeros_like(inputs), [_dtype(variables)]
            )
            return to_inputs, [to_variable]

        _, outputs = _each(forward, rows, block, tf.constant(0.0), [inputs.dtype])
        return tf.transpose(outputs), backward

    return product(inputs)


def _columns(tensor: tf.Tensor, here: tf.Tensor) -> tf.Tensor:
    """The columns of a block, [B, b] of [B, rows]; `here` is consecutive."""
    return tf.slice(tensor, [0, here[0]], [-1, tf.size(here)])


def _dtype(variables: Sequence[tf.Variable]) -> tf.DType:
    (variable,) = variables
    return variable.dtype


def _each(
    step: _Step, rows: int, block: int, carried: tf.Tensor, dtypes: list[tf.DType]
) -> list[tf.Tensor]:
    """Run `step` over the blocks, one at a time.

    Args:
      step: returns what is carried on, and a tensor for each of `dtypes`.
      rows: rows in all.
      block: rows of a block; the last may have fewer.
      carried: what the first block is given.
      dtypes: of the tensors to collect.

    Returns:
      What the last block carried on, and for each of `dtypes` the tensors of
      all blocks, joined along the first axis.
    """
    blocks = -(-rows // block)
    arrays = [
        tf.TensorArray(dtype, blocks, infer_shape=False, clear_after_read=True)
        for dtype in dtypes
    ]

    def body(
        number: tf.Tensor, carried: tf.Tensor, *arrays: tf.TensorArray
    ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        start = number * block
        here = tf.range(start, tf.minimum(start + block, rows))
        carried, *found = step(here, carried)
        written = [
            array.write(number, tf.cast(part, array.dtype))
            for array, part in zip(arrays, found, strict=True)
        ]
        return number + 1, carried, *written

    _, carried, *arrays = tf.while_loop(
        lambda number, *_: number < blocks,
        body,
        (tf.constant(0), carried, *arrays),
        parallel_iterations=1,
    )
    return [carried, *(array.concat() for array in arrays)]
