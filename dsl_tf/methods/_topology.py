"""What a student learns of how a teacher's users and items lie to each other.

Kang et al., "Topology Distillation for Recommender System", KDD 2021. Their sums over
pairs are means here, so that weights do not depend on how many are compared.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

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

    with z a softmax with Gumbel noise that becomes a choice as training goes on. Users
    have K groups and items K others, as in the authors' code; for the topology each
    entity is in the group that is likeliest without noise. Unlike there, means of the
    student's vectors have a gradient, and cosines count whatever their sign.

    Args:
      student: the model that learns.
      teacher: the teacher's vectors.
      entities: users, and items, of a batch that are compared.
      groups: K, of users, and as many of items.
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

        def bias(name: str, *shape: int) -> tf.Variable:
            return self.add_weight(name=name, shape=shape, initializer="zeros")

        #: Of users, and of items.
        self._parts = [
            _Groups(
                weight(f"{kind}/assign", wide, groups),
                bias(f"{kind}/assign_bias", groups),
                weight(f"{kind}/first", groups, narrow, middle),
                bias(f"{kind}/first_bias", groups, middle),
                weight(f"{kind}/second", groups, middle, wide),
                bias(f"{kind}/second_bias", groups, wide),
            )
            for kind in ("users", "items")
        ]

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """α times the topology's part and 1 - α times the groups', a scalar."""
        teacher, student = self.vectors(inputs)
        halves = (tf.split(each, 2) for each in (teacher, student))
        rebuilt, groups = [], []
        for place, (part, t, s) in enumerate(zip(self._parts, *halves, strict=True)):
            logits = tf.matmul(t, part.assign) + part.assign_bias
            rebuilt.append(part.rebuilt(s, self._noisy(logits, place)))
            groups.append(tf.argmax(logits, axis=1) + place * self._groups)
        far = tf.square(teacher - tf.concat(rebuilt, axis=0))
        of_groups = tf.reduce_mean(tf.reduce_sum(far, axis=1))
        group = tf.concat(groups, axis=0)
        same = tf.cast(group[:, None] == group[None, :], tf.float32)
        apart = tf.square(cosines(teacher) - cosines(student))
        within = tf.reduce_sum(same * apart) / tf.reduce_sum(same)
        members = tf.one_hot(group, 2 * self._groups)
        counts = tf.reduce_sum(members, axis=0)
        share = tf.math.divide_no_nan(members, counts)
        means = [tf.matmul(share, x, transpose_a=True) for x in (teacher, student)]
        # An empty group's mean is 0, and so are its cosines.
        between = tf.square(cosines(means[0]) - cosines(means[1]))
        present = tf.cast(tf.math.count_nonzero(counts), tf.float32)
        topology = within + tf.reduce_sum(between) / tf.square(present)
        return self._balance * topology + (1 - self._balance) * of_groups

    def macs(
        self, layers: Mapping[str, LayerMacs], size: StepSize
    ) -> dict[str, LayerMacs]:
        """Products of matrices in a step; see `LossTerm.macs` and `FullTopology`.

        With K groups of users and K of items and m units of a network, beside the
        cosines of n entities: n d K for the assignment, n K (s + d) m for the networks,
        n K d for what their biases add, 2 K n (d + s) for the means of the groups and
        (2 K)² (d + s) for their cosines. What is the teacher's own has no gradient, nor
        has who is in which group.
        """
        count, groups = self._count(size), self._groups
        middle = self._parts[0].first.shape[2]
        of_teacher, of_student = self._widths()
        networks = count * groups * middle * (of_student + of_teacher)
        biases = count * groups * of_teacher
        means, pairs = 2 * groups * count, (2 * groups) ** 2
        return {
            **super().macs(layers, size),
            "topology, assignment": _once(count * of_teacher * groups, 1),
            "topology, networks": _once(networks + biases, 2),
            "topology, teacher's means": _once(means * of_teacher, 0),
            "topology, student's means": _once(means * of_student, 1),
            "topology, teacher's cosines of means": _once(pairs * of_teacher, 0),
            "topology, student's cosines of means": _once(pairs * of_student, 2),
        }

    def _noisy(self, logits: tf.Tensor, place: int) -> tf.Tensor:
        """z, float32 [n, K]; each row sums to 1.

        Args:
          logits: float32 [n, K], without noise.
          place: 0 for users, 1 for items, whose noise is not the same.
        """
        step = self._student().optimizer.iterations
        seed = tf.stack([streams.key(self._seed, f"topology/{place}"), step])
        uniform = tf.random.stateless_uniform(tf.shape(logits), seed, 1e-6, 1 - 1e-6)
        gumbel = -tf.math.log(-tf.math.log(uniform))
        progress = tf.cast(step, tf.float32) / self._steps
        temperature = tf.pow(_COLD, tf.minimum(progress, 1.0))
        return tf.nn.softmax((tf.nn.log_softmax(logits) + gumbel) / temperature)


class _Groups(NamedTuple):
    """Who is in which of K groups, and the networks of these.

    Attributes:
      assign: float32 [d, K].
      assign_bias: float32 [K].
      first: float32 [K, s, m].
      first_bias: float32 [K, m].
      second: float32 [K, m, d].
      second_bias: float32 [K, d].
    """

    assign: tf.Variable
    assign_bias: tf.Variable
    first: tf.Variable
    first_bias: tf.Variable
    second: tf.Variable
    second_bias: tf.Variable

    def rebuilt(self, student: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """Σ_k z_k f_k(s), float32 [n, d] of [n, s] and [n, K]."""
        hidden = tf.einsum("ns,ksm->nkm", student, self.first) + self.first_bias
        hidden = tf.nn.relu(hidden)
        # The choice first: a product of all three at once may take n·K·m·d numbers.
        products = tf.einsum("nkm,kmw->nw", hidden * z[:, :, None], self.second)
        return products + tf.matmul(z, self.second_bias)


def _once(products: int, gradients: int) -> LayerMacs:
    """A product in each step; its gradients take as much each."""
    return LayerMacs(once=products, once_backward=gradients * products)


def cosines(vectors: tf.Tensor) -> tf.Tensor:
    """Of all pairs of rows, [n, n] of [n, d]."""
    unit = tf.math.l2_normalize(vectors, axis=1)
    return tf.matmul(unit, unit, transpose_b=True)
