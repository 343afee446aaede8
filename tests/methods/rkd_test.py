import numpy as np
import pytest
import rich.console
import tensorflow as tf
import tf_keras as keras

from dsl_tf import config_files
from dsl_tf.backbones import mf
from dsl_tf.errors import UserError
from dsl_tf.layers.propagation import MeanPropagation
from dsl_tf.layers.tables import DenseTables
from dsl_tf.methods import base, dense, rkd
from dsl_tf.methods._planning import Planning
from dsl_tf.types import LayerMacs, StepSize


@pytest.fixture
def task(small_split, tmp_path):
    return base.Task(small_split, 0, tmp_path / "a", rich.console.Console(quiet=True))


@pytest.fixture
def config(small_config):
    small_config.train.epochs = 2
    small_config.sparsity.target = 0.5
    return small_config


class _Student:
    """Scores item i of any user by i / 10."""

    num_items = 50
    optimizer = type("Optimizer", (), {"iterations": tf.constant(7, tf.int64)})()

    def logits_with(self, inputs, sets):
        users = len(inputs["user"])
        for items in sets:
            negatives = tf.cast(items, tf.float32) / 10
            each = tf.repeat(negatives, users // len(negatives), axis=0)
            yield tf.concat([tf.zeros([users, 1]), each], axis=1)


@pytest.mark.parametrize("warm_up_steps", [3, 100])
def test_the_loss_by_hand(warm_up_steps):
    best = np.array([[49, 0], [30, 5]])
    term = rkd.Distillation(
        _Student(), tf.constant(best), weight=0.5, decay=2.0, sharpness=0.1,
        warm_up_steps=warm_up_steps, samples=10000, seed=0,
    )  # fmt: skip
    static = np.exp(-np.array([1, 2]) / 2)
    static /= static.sum()
    logits = best / 10
    weights = np.tile(static, (2, 1))
    if warm_up_steps == 3:
        # Of 50 items 0, 49; 19 and 44 are better: the share, times 49.
        ranks = np.array([[0, 48], [18.6, 43.1]])
        weights *= np.maximum(0, np.tanh(0.1 * (ranks - [1, 2])))
    expected = 0.5 * np.mean(np.sum(weights * np.log1p(np.exp(-logits)), axis=1))
    found = float(term({"user": np.array([0, 1])}))
    assert found == pytest.approx(expected, rel=0.03)


def _distillation(model, best, samples):
    return rkd.Distillation(
        model, tf.constant(best), weight=1.0, decay=2.0, sharpness=0.1,
        warm_up_steps=0, samples=samples, seed=0,
    )  # fmt: skip


def test_multiply_accumulates_by_hand():
    """Four users with two items of the teacher each and three that they share."""
    term = _distillation(_Student(), np.zeros((6, 2), np.int32), samples=3)
    layers = {
        "network": LayerMacs(per_user=100, per_item=10, per_pair=5),
        "hop": LayerMacs(once=70, once_backward=90),
    }
    # A positive comes before either set: 4 · 3 items of their own; 4 and 3 shared.
    own = 4 * 100 + 12 * 10 + 12 * 5
    shared = 4 * 100 + 7 * 10 + 16 * 5
    assert term.macs(layers, StepSize(4, 99, 99, 4)) == {
        "teacher's items, network": LayerMacs(once=own, once_backward=2 * own),
        "teacher's items, hop": LayerMacs(once=70, once_backward=90),
        "sampled items, network": LayerMacs(once=shared),
    }
    # The teacher's items of six users, whoever is in a batch.
    assert term.held_bytes == 6 * 2 * 4


def test_items_that_are_compared_with_get_no_gradient():
    model = mf.MF(6, 50, DenseTables(6, 50), 5, initial_stddev=1.0)
    model.compile(keras.optimizers.Adam())
    best = np.tile([[1, 2]], (6, 1)).astype(np.int32)
    term = _distillation(model, best, samples=40)
    with tf.GradientTape() as tape:
        loss = term({"user": tf.constant([0, 4]), "item": tf.constant([3, 3])})
    table = model.tables.place("items")[0].embeddings
    gradient = tf.convert_to_tensor(tape.gradient(loss, table)).numpy()
    assert set(np.flatnonzero(gradient.any(axis=1))) == {1, 2}


def _planned(task, config):
    config.sparsity.target = 0.5
    return {each.name: each.cost for each in base.planned(task, config, rkd.train)}


def test_the_account_of_matrix_factorisation(small_config, task, small_split):
    small_config.method.rkd.update(top=2, samples=3)
    cost = _planned(task, small_config)["select"]
    own, shared = (cost.steps * 512 * (1 + count) * 8 for count in (2, 3))
    taken = {name: each for name, each in cost.layers.items() if " items, " in name}
    assert taken == {
        "teacher's items, inner product": (own, 2 * own, 0),
        "sampled items, inner product": (shared, 0, 0),
    }
    rows = small_split.num_users + small_split.num_items
    # Weights, both moments of Adam, its count of steps, and two items of each user.
    assert cost.state_bytes == 3 * 4 * 8 * rows + 8 + 4 * 2 * small_split.num_users


def test_a_graph_is_propagated_over_once_more_in_each_step(
    task, small_split, monkeypatch
):
    config = config_files.load(config_files.find("lightgcn.py"), "own")
    config.model.update(embedding_dim=16, num_layers=2)
    costs = _planned(task, config)
    cost, edges = costs["select"], 2 * len(small_split.train)
    for hop in ("propagation, hop 1", "propagation, hop 2"):
        each = (cost.steps * edges * 8, cost.steps * edges * 8, 0)
        assert cost.layers[hop] == cost.layers[f"teacher's items, {hop}"] == each
        assert f"sampled items, {hop}" not in cost.layers
    # The teacher's 16 columns are propagated once before it ranks.
    pairs = small_split.num_users * small_split.num_items
    assert costs["rank"].macs == (2 * edges * 16 + pairs * 16, 0, 0)

    tables = dense.make_tables(config, small_split, 0)
    model, _ = base.make_model(small_split, config, tables, 0)
    term = _distillation(model, np.zeros((small_split.num_users, 2), np.int32), 3)
    calls = []
    for name in ("_sum_of_layers", "_last_sum"):
        original = getattr(MeanPropagation, name)

        def counted(*args, original=original, name=name):
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(MeanPropagation, name, counted)
    with tf.GradientTape() as tape:
        loss = term({"user": tf.constant([0, 1]), "item": tf.constant([2, 3])})
    tape.gradient(loss, model.trainable_variables)
    assert calls == ["_sum_of_layers", "_last_sum"]


def test_the_student_learns_the_teachers_ranking(config, small_split, task):
    config.train.epochs = 3
    config.method.rkd.update(weight=1.0, decay=10.0, warm_up_epochs=99)
    trained = base.train(task, config, rkd.train)
    assert [each.name for each in trained.passes] == ["teacher", "rank", "select"]
    pairs = small_split.num_users * small_split.num_items
    width = config.model.embedding_dim
    assert trained.passes[1].cost.macs.forward == width * pairs
    teacher = base.selected(
        _passes(task, config),
        task.folder.parent / "nowhere",
        config,
        lambda passes, config: (
            base.restore(
                task, config, lambda p, c: p.one("teacher", c, dense.make_tables)
            ).model
        ),
    )
    best = rkd.ranking(teacher, small_split, 10)
    known = small_split.train.csr(small_split.num_users, small_split.num_items)
    assert not known.toarray()[np.arange(small_split.num_users)[:, None], best].any()
    assert trained.model.item_vectors().shape[1] == width // 2

    plain = base.Task(task.split, 0, task.folder.parent / "b", task.console)
    config.method.rkd.weight = 0.0
    alone = base.train(plain, config, rkd.train).model

    def agreement(model):
        own = rkd.ranking(model, small_split, 10)
        pairs = zip(own, best, strict=True)
        return np.mean([len(set(a) & set(b)) for a, b in pairs])

    assert agreement(trained.model) > agreement(alone)


def test_nobody_is_ranked_for_where_nobody_is_taught(config, task, monkeypatch):
    config.train.epochs = 1
    trained = base.train(task, config, rkd.train)
    monkeypatch.setattr(rkd, "ranking", None)
    again = base.restore(task, config, rkd.train)
    for ours, theirs in zip(
        again.model.get_weights(), trained.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    planned = base.planned(task, config, rkd.train)
    # What nobody is taught for is counted all the same.
    for ours, theirs in zip(planned, trained.passes, strict=True):
        assert ours.cost.layers == theirs.cost.layers


def _passes(task, config):
    return base.Training(task, config, task.split)


@pytest.mark.parametrize(
    ("key", "value"),
    [("top", 0), ("top", 999), ("weight", -1.0), ("decay", 0.0), ("samples", 0)],
)
def test_keys_out_of_range(config, task, key, value):
    config.method.rkd[key] = value
    with pytest.raises(UserError, match=f"`method.rkd.{key}` must be"):
        base.train(task, config, rkd.train)


def test_a_refit_warms_up_for_as_long_as_the_first_time(small_config, task):
    small_config.train.batch_size = 64
    small_config.method.rkd.warm_up_epochs = 3
    larger = task.split.with_validation()
    first, refit = (
        rkd.train(Planning(task, small_config, split, plans), small_config).loss_terms[
            0
        ]
        for split, plans in ((task.split, None), (larger, {}))
    )
    assert first.warm_up_steps == 3 * (len(task.split.train) // 64)
    assert refit.warm_up_steps == first.warm_up_steps
