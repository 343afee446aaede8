"""Losses and scores whose activations do not fit: a few users at a time."""

from collections.abc import Callable, Sequence

import tensorflow as tf

#: Users times items in one call of `interaction`: enough to share the work on an
#: item between users, little enough for the cache. NeuMF (64-32-16) on all of
#: MovieLens-1M, CPU seconds on two cores: 2**12 9.3, 2**14 5.4, 2**15 4.2, 2**16
#: 5.3, 2**18 8.1.
PAIRS_AT_ONCE = 1 << 15


def mean_in_blocks(
    function: Callable[..., tf.Tensor],
    pairs_at_once: int,
    users: tf.Tensor,
    items: tf.Tensor,
    network: Sequence[tf.Tensor],
) -> tf.Tensor:
    """The mean of a function over a batch, as differentiable as over all at once.

    The gradients of a block are taken as soon as it is computed: its activations
    can go before the next one needs the room. ConvNCF's are 128 KiB a pair and
    layer; a step on 512 positives with a negative each took 1.5 times as long with
    all of them at once, since so much memory is asked of the system anew each time.

    Args:
      function: of users [b, d], items [b, n, d] and the network to a scalar, the
        mean over its users.
      pairs_at_once: user-item pairs of a block; it has one user at least.
      users: float32 [B, d].
      items: float32 [B, n, d].
      network: weights, float32. Variables have to be converted to tensors.

    Returns:
      A float32 scalar.
    """

    @tf.custom_gradient
    def mean(
        users: tf.Tensor, items: tf.Tensor, *network: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
        count = tf.shape(users)[0]
        at_once = tf.maximum(1, pairs_at_once // tf.shape(items)[1])
        blocks = (count + at_once - 1) // at_once

        def block(
            number: tf.Tensor,
            total: tf.Tensor,
            of_users: tf.TensorArray,
            of_items: tf.TensorArray,
            *of_network: tf.Tensor,
        ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
            start = number * at_once
            stop = tf.minimum(start + at_once, count)
            inputs = [users[start:stop], items[start:stop], *network]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(inputs)
                share = tf.cast(stop - start, tf.float32) / tf.cast(count, tf.float32)
                part = function(*inputs) * share
            gradients = tape.gradient(part, inputs)
            return (
                number + 1,
                total + part,
                of_users.write(number, gradients[0]),
                of_items.write(number, gradients[1]),
                *(
                    old + new
                    for old, new in zip(of_network, gradients[2:], strict=True)
                ),
            )

        def rows(like: tf.Tensor) -> tf.TensorArray:
            return tf.TensorArray(
                tf.float32,
                blocks,
                infer_shape=False,
                element_shape=[None, *like.shape[1:]],
            )

        _, total, of_users, of_items, *of_network = tf.while_loop(
            lambda number, *_: number < blocks,
            block,
            (
                tf.constant(0),
                tf.constant(0.0),
                rows(users),
                rows(items),
                *(tf.zeros_like(each) for each in network),
            ),
            parallel_iterations=1,
        )
        gradients = [of_users.concat(), of_items.concat(), *of_network]
        return total, lambda upstream: [upstream * each for each in gradients]

    return mean(users, items, *network)


def in_blocks(
    interaction: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    users: tf.Tensor,
    items: tf.Tensor,
    num_items: int,
) -> tf.Tensor:
    """Scores of users with all items, [B, num_items], a few users at a time."""
    count = tf.shape(users)[0]
    at_once = max(1, PAIRS_AT_ONCE // num_items)
    blocks = (count + at_once - 1) // at_once

    def block(
        number: tf.Tensor, scores: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.TensorArray]:
        some = users[number * at_once : (number + 1) * at_once]
        return number + 1, scores.write(number, interaction(some, items))

    scores = tf.TensorArray(
        tf.float32, blocks, infer_shape=False, element_shape=[None, num_items]
    )
    _, scores = tf.while_loop(
        lambda number, _: number < blocks,
        block,
        (tf.constant(0), scores),
        parallel_iterations=1,
    )
    return tf.ensure_shape(scores.concat(), [None, num_items])
