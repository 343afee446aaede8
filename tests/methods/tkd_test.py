import math

import numpy as np
import pytest
import rich.console
import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.methods import base, tkd
from dsl_tf.methods._planning import Planning
from dsl_tf.methods._topology import FullTopology, HierarchicalTopology, cosines
from dsl_tf.types import LayerMacs, StepSize


@pytest.fixture
def task(small_split, tmp_path):
    return base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))


@pytest.fixture
def config(small_config):
    small_config.train.epochs = 2
    small_config.sparsity.target = 0.5
    return small_config


class _Student:
    """Has vectors of its own, four users and five items, three wide."""

    optimizer = keras.optimizers.SGD()

    def __init__(self, rng):
        self.users = tf.Variable(rng.normal(size=(4, 3)), dtype=tf.float32)
        self.items = tf.Variable(rng.normal(size=(5, 3)), dtype=tf.float32)

    def batch_vectors(self, inputs):
        return (
            tf.gather(self.users, inputs["user"]),
            tf.gather(self.items, inputs["item"]),
        )


@pytest.fixture
def student(rng):
    return _Student(rng)


@pytest.fixture
def teacher(rng):
    shapes = (4, 6), (5, 6)
    return tuple(tf.constant(rng.normal(size=s), tf.float32) for s in shapes)


BATCH = {"user": np.array([0, 3, 1, 2]), "item": np.array([4, 4, 0, 1])}


def _cosines(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def test_full_topology_by_hand(student, teacher):
    found = float(FullTopology(student, teacher, entities=3)(BATCH))
    users, items = BATCH["user"][:3], BATCH["item"][:3]
    of_teacher = np.concatenate([teacher[0].numpy()[users], teacher[1].numpy()[items]])
    of_student = np.concatenate(
        [student.users.numpy()[users], student.items.numpy()[items]]
    )
    expected = np.mean((_cosines(of_teacher) - _cosines(of_student)) ** 2)
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_student_like_its_teacher_has_nothing_to_learn(student):
    """Cosines do not ask for the same coordinates, nor for the same lengths."""
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    turned = [
        tf.constant(2 * table.numpy() @ turn, tf.float32)
        for table in (student.users, student.items)
    ]
    found = FullTopology(student, turned, entities=4)(BATCH)
    assert float(found) == pytest.approx(0, abs=1e-10)


def test_hierarchical_topology_by_hand(student, teacher, rng):
    """Users and items have groups and networks of their own, chosen in the end."""
    layer = HierarchicalTopology(
        student, teacher, entities=4, groups=2, balance=0.3, steps=10, seed=0
    )
    student.optimizer.iterations.assign(10)
    for weight in layer.weights:  # biases, too
        weight.assign(rng.normal(size=weight.shape))
    t, s = (x.numpy() for x in layer.vectors(BATCH))
    group, rebuilt = [], []
    for place, rows in enumerate((range(4), range(4, 8))):
        weights = [w.numpy() for w in layer.weights[6 * place : 6 * place + 6]]
        assign, assign_bias, first, first_bias, second, second_bias = weights
        assert assign.shape == (6, 2)
        logits = t[rows] @ assign + assign_bias
        z = layer._noisy(tf.constant(logits), place).numpy()
        np.testing.assert_allclose(np.sort(z, axis=1), [[0, 1]] * 4, atol=1e-6)
        for i, k in zip(rows, z.argmax(axis=1), strict=True):
            hidden = np.maximum(0, s[i] @ first[k] + first_bias[k])
            rebuilt.append(hidden @ second[k] + second_bias[k])
        group += [*(logits.argmax(axis=1) + 2 * place)]
    groups = np.mean(np.sum((t - np.stack(rebuilt)) ** 2, axis=1))
    group = np.array(group)
    same = group[:, None] == group
    assert not same[:4, 4:].any()
    within = np.mean((_cosines(t) - _cosines(s))[same] ** 2)
    present = np.unique(group)
    means = [np.stack([x[group == k].mean(axis=0) for k in present]) for x in (t, s)]
    between = np.mean((_cosines(means[0]) - _cosines(means[1])) ** 2)
    expected = 0.3 * (within + between) + 0.7 * groups
    assert float(layer(BATCH)) == pytest.approx(expected, rel=1e-4)


def test_the_choice_of_groups_hardens(student, teacher, rng):
    layer = HierarchicalTopology(
        student, teacher, entities=4, groups=3, balance=0.5, steps=10, seed=0
    )
    logits = tf.constant(rng.normal(size=(8, 3)), tf.float32)
    student.optimizer.iterations.assign(0)
    soft = layer._noisy(logits, 0).numpy()
    student.optimizer.iterations.assign(10)
    hard = layer._noisy(logits, 0).numpy()
    assert not np.array_equal(hard, layer._noisy(logits, 1))
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    assert soft.max(axis=1).min() < 0.9
    assert hard.max(axis=1).min() > 0.999


LAYERS = {
    "hop": LayerMacs(once=70.0, once_backward=90.0),
    "inner product": LayerMacs(per_pair=3.0),
}
SIZE = StepSize(users=4, items=9, pairs=8, positives=4)


def test_multiply_accumulates_by_hand(student, teacher):
    """Three users and three items; the student has three columns, the teacher six."""
    term = tkd.Distillation(FullTopology(student, teacher, entities=3), 2.0)
    assert term.macs(LAYERS, SIZE) == {
        # A graph model propagates to have vectors; none of them is scored.
        "topology, hop": LayerMacs(once=70, once_backward=90),
        "topology, teacher's cosines": LayerMacs(once=6 * 6 * 6),
        "topology, student's cosines": LayerMacs(
            once=6 * 6 * 3, once_backward=2 * 6 * 6 * 3
        ),
    }
    # Four users and five items with six columns of four bytes.
    assert term.held_bytes == (4 + 5) * 6 * 4


@pytest.mark.parametrize("entities", [3, 99])
@pytest.mark.parametrize("kind", [FullTopology, HierarchicalTopology])
def test_multiply_accumulates_are_those_that_run(student, teacher, kind, entities):
    """All products of matrices in the graph that TensorFlow makes of a step."""
    more = {"groups": 5, "balance": 0.3, "steps": 10, "seed": 0}
    more = more if kind is HierarchicalTopology else {}
    layer = kind(student, teacher, entities, **more)
    term = tkd.Distillation(layer, 2.0)
    variables = [student.users, student.items, *layer.weights]

    def step():
        with tf.GradientTape() as tape:
            loss = term(BATCH)
        gradients = tape.gradient(loss, variables)
        return [loss, *(tf.convert_to_tensor(each) for each in gradients)]

    taken = term.macs({"inner product": LAYERS["inner product"]}, SIZE).values()
    forward = sum(each.once for each in taken)
    assert forward == _products(lambda: term(BATCH)) > 0
    assert sum(each.once_backward for each in taken) == _products(step) - forward


def _products(function):
    """Multiply-accumulates of all matrix products that what it returns needs."""
    graph = tf.function(function).get_concrete_function().graph
    needed, waiting = {}, [each.op for each in graph.outputs]
    while waiting:
        op = waiting.pop()
        if op.name not in needed:
            needed[op.name] = op
            waiting += [each.op for each in op.inputs]
    total = 0
    for op in needed.values():
        assert not op.type.startswith("BatchMatMul"), "not counted here"
        shapes = [each.shape.as_list() for each in op.inputs]
        if op.type == "MatMul":
            inner = shapes[0][0 if op.get_attr("transpose_a") else 1]
            total += op.outputs[0].shape.num_elements() * inner
        elif op.type == "Einsum":
            factors = op.get_attr("equation").decode().split("->")[0].split(",")
            sizes = {
                label: size
                for labels, shape in zip(factors, shapes, strict=True)
                for label, size in zip(labels, shape, strict=True)
            }
            total += math.prod(sizes.values())
    return total


@pytest.mark.parametrize("topology", ["full", "hierarchical"])
def test_what_the_student_holds_and_computes_is_in_the_account(
    small_config, task, topology
):
    small_config.sparsity.target = 0.5
    small_config.method.tkd.update(topology=topology, entities=100, groups=7)
    passes = base.planned(task, small_config, tkd.train)
    assert [each.name for each in passes] == ["teacher", "vectors", "select"]
    cost, rows = passes[2].cost, task.split.num_users + task.split.num_items
    # 8 columns of the student, 16 of the teacher, 12 units of each network.
    # Of users, and of items: the assignment to 7 groups, and their two layers.
    networks = 2 * (17 * 7 + 7 * 9 * 12 + 7 * 13 * 16)
    networks = networks if topology == "hierarchical" else 0
    # Weights with both moments of Adam, its count of steps, and the teacher's rows.
    assert cost.state_bytes == 3 * 4 * (8 * rows + networks) + 8 + 4 * 16 * rows
    updates = sum(taken.optimizer for taken in cost.layers.values())
    assert updates == cost.steps * 5 * (8 * rows + networks)
    own = 200 * 200 * 8 * cost.steps
    assert cost.layers["topology, student's cosines"] == (own, 2 * own, 0)
    names = [name for name in cost.layers if name.startswith("topology, ")]
    assert len(names) == (2 if topology == "full" else 8)
    # To look rows up takes nothing.
    assert passes[1].cost.macs.total == 0


@pytest.mark.parametrize(
    "topology", ["full", pytest.param("hierarchical", marks=pytest.mark.slow)]
)
def test_the_student_lies_as_its_teacher_does(config, task, tmp_path, topology):
    config.method.tkd.update(topology=topology, weight=30.0, balance=0.9, groups=3)
    trained = base.train(task, config, tkd.train)
    assert [each.name for each in trained.passes] == ["teacher", "vectors", "select"]
    width = config.model.embedding_dim
    assert trained.model.item_vectors().shape[1] == width // 2
    assert not hasattr(trained.model, "topology")
    again = base.restore(task, config, tkd.train)
    for ours, theirs in zip(again.model.weights, trained.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if topology == "hierarchical":
        return
    config.method.tkd.weight = 0.0
    other = base.Task(task.split, 0, tmp_path / "b", task.console)
    alone = base.train(other, config, tkd.train).model
    teacher = base.restore(
        task, config, lambda p, c: p.one("teacher", c, tkd.dense.make_tables)
    )
    like = cosines(teacher.model.item_vectors()).numpy()

    def difference(model):
        return np.mean((cosines(model.item_vectors()).numpy() - like) ** 2)

    assert difference(trained.model) < difference(alone)


@pytest.mark.parametrize(
    ("key", "value"),
    [("weight", -1.0), ("entities", 1), ("groups", 0), ("balance", 2.0)],
)
def test_keys_out_of_range(config, task, key, value):
    config.method.tkd[key] = value
    with pytest.raises(UserError, match=f"`method.tkd.{key}` must be"):
        base.train(task, config, tkd.train)


def test_a_refit_cools_for_as_long_as_the_first_time(small_config, task, monkeypatch):
    steps = []

    class Watched(HierarchicalTopology):
        def __init__(self, *args, **kwargs):
            steps.append(kwargs["steps"])
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(tkd, "HierarchicalTopology", Watched)
    monkeypatch.setitem(tkd._KINDS, "hierarchical", Watched)
    small_config.train.batch_size = 64
    larger = task.split.with_validation()
    for split, plans in ((task.split, None), (larger, {})):
        tkd.train(Planning(task, small_config, split, plans), small_config)
    assert steps == [small_config.train.epochs * (len(task.split.train) // 64)] * 2
