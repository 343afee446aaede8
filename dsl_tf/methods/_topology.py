"""What a student learns of how a teacher's users and items lie to each other.

Kang et al., "Topology Distillation for Recommender System", KDD 2021. Their sums over
pairs are means here, so that weights do not depend on how many are compared.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf
import tf_keras as keras

from dsl_tf import streams
from dsl_tf.backbones.base import Backbone
from dsl_tf.types import LayerMacs, StepSize

#: The temperature of the assignment to groups at the end of training.
_COLD = 1e-10


class FullTopology(keras.layers.Layer):
    """FTD: all cosines between users and items of a batch (sec. 3.2).

    Args:
      student: the model that learns.
      teacher: the teacher's vectors, float32 [num_users, d] and [num_items, d].
      entities: users, and items, of a batch that are compared; the first ones.
    """

    def __init__(
        self, student: Backbone, teacher: tuple[tf.Tensor, tf.Tensor], entities: int
    ) -> None:
        super().__init__(name="topology")
        # A function, so that Keras does not take the student for a part of it.
        self._student: Callable[[], Backbone] = lambda: student
        self._teacher = teacher
        self._entities = entities

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The mean squared difference of cosines, a scalar."""
        teacher, student = self.vectors(inputs)
        return tf.reduce_mean(tf.square(cosines(teacher) - cosines(student)))

    def vectors(self, inputs: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Users, then items of a batch, by the teacher and by the student."""
        part = {key: inputs[key][: self._entities] for key in ("user", "item")}
        ids = part["user"], part["item"]
        teacher = [tf.gather(*each) for each in zip(self._teacher, ids, strict=True)]
        student = self._student().batch_vectors(part)
        return tf.concat(teacher, axis=0), tf.concat(student, axis=0)

    @property
    def held_bytes(self) -> int:
        """Of the teacher's vectors, which are no variables."""
        return sum(4 * each.shape.num_elements() for each in self._teacher)

    def macs(
        self, layers: Mapping[str, LayerMacs], size: StepSize
    ) -> dict[str, LayerMacs]:
        """Products of matrices in a step; see `LossTerm.macs`.

        With n entities, d columns of the teacher and s of the student: n² d and n² s
        for cosines, and twice n² s for the gradient, which the student alone gets.
        Its vectors take what comes once in its layers, such as hops.
        """
        count = self._count(size)
        of_teacher, of_student = self._widths()
        vectors = {
            f"topology, {name}": LayerMacs(
                once=each.once, once_backward=each.once_backward
            )
            for name, each in layers.items()
            if each.once or each.once_backward
        }
        return {
            **vectors,
            "topology, teacher's cosines": _once(count**2 * of_teacher, 0),
            "topology, student's cosines": _once(count**2 * of_student, 2),
        }

    def _count(self, size: StepSize) -> int:
        """Entities of a step, users and items together."""
        return 2 * min(self._entities, size.users)

    def _widths(self) -> tuple[int, int]:
        """Columns of the teacher's and of the student's vectors."""
        row = tf.zeros([1], tf.int32)
        teacher, student = self.vectors({"user": row, "item": row})
        return teacher.shape[1], student.shape[1]


class HierarchicalTopology(FullTopology):
    """HTD: cosines within groups, and between the groups' means (sec. 3.3).

    Which entity is in which group is learnt from what the teacher's vectors can be
    rebuilt of by one small network a group,

        L = α L_topology + (1 - α) Σ ‖t - Σ_k z_k f_k(s)‖²,

    with z a softmax with Gumbel noise that becomes a choice as training goes on.

    Args:
      student: the model that learns.
      teacher: the teacher's vectors.
      entities: users, and items, of a batch that are compared.
      groups: K.
      balance: α.
      steps: planned, over which the temperature falls.
      seed: seeds initial weights and noise.
    """

    def __init__(
        self,
        student: Backbone,
        teacher: tuple[tf.Tensor, tf.Tensor],
        entities: int,
        groups: int,
        balance: float,
        steps: int,
        seed: int,
    ) -> None:
        super().__init__(student, teacher, entities)
        self._groups, self._balance = groups, balance
        self._steps, self._seed = steps, seed
        wide, narrow = self._widths()
        middle = (narrow + wide) // 2

        def weight(name: str, *shape: int) -> tf.Variable:
            initial = keras.initializers.GlorotUniform(
                streams.key(seed, f"initial/topology/{name}")
            )
            return self.add_weight(name=name, shape=shape, initializer=initial)

        self._assign = weight("assign", wide, groups)
        self._first = weight("first", groups, narrow, middle)
        self._second = weight("second", groups, middle, wide)

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """α times the topology's part and 1 - α times the groups', a scalar."""
        teacher, student = self.vectors(inputs)
        step = self._student().optimizer.iterations
        z = self._assignment(teacher, step)
        hidden = tf.nn.relu(tf.einsum("ns,ksm->nkm", student, self._first))
        # The choice first: a product of all three at once may take n·K·m·w numbers.
        rebuilt = tf.einsum("nkm,kmw->nw", hidden * z[:, :, None], self._second)
        groups = tf.reduce_mean(tf.reduce_sum(tf.square(teacher - rebuilt), axis=1))
        group = tf.argmax(z, axis=1)
        same = tf.cast(group[:, None] == group[None, :], tf.float32)
        apart = tf.square(cosines(teacher) - cosines(student))
        within = tf.reduce_sum(same * apart) / tf.reduce_sum(same)
        share = tf.math.divide_no_nan(z, tf.reduce_sum(z, axis=0))
        means = [tf.matmul(share, x, transpose_a=True) for x in (teacher, student)]
        between = tf.square(cosines(means[0]) - cosines(means[1]))
        topology = within + tf.reduce_mean(between)
        return self._balance * topology + (1 - self._balance) * groups

    def macs(
        self, layers: Mapping[str, LayerMacs], size: StepSize
    ) -> dict[str, LayerMacs]:
        """Products of matrices in a step; see `LossTerm.macs` and `FullTopology`.

        With K groups and m units of a network, beside the cosines of n entities:
        n d K for the assignment, n K s m and n K m d for the networks, K n d and
        K n s for the means of the groups, and K² d and K² s for their cosines. Of two
        factors each gets its gradient, but what is the teacher's own.
        """
        count, groups, middle = self._count(size), self._groups, self._first.shape[2]
        of_teacher, of_student = self._widths()
        networks = count * groups * middle * (of_student + of_teacher)
        both = of_teacher + of_student
        return {
            **super().macs(layers, size),
            "topology, assignment": _once(count * of_teacher * groups, 1),
            "topology, networks": _once(networks, 2),
            "topology, teacher's means": _once(groups * count * of_teacher, 1),
            "topology, student's means": _once(groups * count * of_student, 2),
            "topology, cosines of means": _once(groups**2 * both, 2),
        }

    def _assignment(self, teacher: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """z, float32 [n, K]; each row sums to 1."""
        logits = tf.matmul(teacher, self._assign)
        seed = tf.stack([streams.key(self._seed, "topology"), step])
        uniform = tf.random.stateless_uniform(tf.shape(logits), seed, 1e-6, 1 - 1e-6)
        gumbel = -tf.math.log(-tf.math.log(uniform))
        progress = tf.cast(step, tf.float32) / self._steps
        temperature = tf.pow(_COLD, tf.minimum(progress, 1.0))
        return tf.nn.softmax((tf.nn.log_softmax(logits) + gumbel) / temperature)


def _once(products: int, gradients: int) -> LayerMacs:
    """A product in each step; its gradients take as much each."""
    return LayerMacs(once=products, once_backward=gradients * products)


def cosines(vectors: tf.Tensor) -> tf.Tensor:
    """Of all pairs of rows, [n, n] of [n, d]."""
    unit = tf.math.l2_normalize(vectors, axis=1)
    return tf.matmul(unit, unit, transpose_b=True)
