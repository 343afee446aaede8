import numpy as np
import pytest
import rich.console
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.methods import base, dense, rkd


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

    def __call__(self, inputs):
        users = len(inputs["user"])
        negatives = tf.cast(inputs["negatives"], tf.float32) / 10
        each = tf.repeat(negatives, users // len(negatives), axis=0)
        return tf.concat([tf.zeros([users, 1]), each], axis=1)


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


def test_the_student_learns_the_teachers_ranking(config, small_split, task):
    config.train.epochs = 3
    config.method.rkd.update(weight=1.0, decay=10.0, warm_up_epochs=99)
    trained = base.train(task, config, rkd.train)
    assert [each.name for each in trained.passes] == ["teacher", "rank", "select"]
    # Of all pairs, with 32 columns at least.
    pairs = small_split.num_users * small_split.num_items
    assert trained.passes[1].cost.macs.forward > 32 * pairs
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
    width = config.model.gmf_dim + config.model.mlp_dim
    assert trained.model.item_vectors().shape[1] == width // 2

    plain = base.Task(task.split, 0, task.folder.parent / "b", task.console)
    config.method.rkd.weight = 0.0
    alone = base.train(plain, config, rkd.train).model

    def agreement(model):
        own = rkd.ranking(model, small_split, 10)
        pairs = zip(own, best, strict=True)
        return np.mean([len(set(a) & set(b)) for a, b in pairs])

    assert agreement(trained.model) > agreement(alone)


def test_nobody_is_ranked_for_where_nobody_is_taught(
    config, small_split, task, monkeypatch
):
    config.train.epochs = 1
    trained = base.train(task, config, rkd.train)
    monkeypatch.setattr(rkd, "ranking", None)
    again = base.restore(task, config, rkd.train)
    for ours, theirs in zip(
        again.model.get_weights(), trained.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    planned = base.planned(task, config, rkd.train)
    assert [each.cost.macs for each in planned[:2]] == [
        each.cost.macs for each in trained.passes[:2]
    ]


def test_a_teacher_can_be_read_from_a_run(config, small_split, task, tmp_path):
    run = tmp_path / "run"
    teacher = base.Task(
        small_split, 0, run / base.CHECKPOINTS, rich.console.Console(quiet=True)
    )
    base.train(teacher, config, dense.train)
    config.method.rkd.teacher = str(run)
    trained = base.train(task, config, rkd.train)
    assert [each.name for each in trained.passes] == ["rank", "select"]
    config.model.gmf_dim *= 2
    other = base.Task(small_split, 0, tmp_path / "c", task.console)
    with pytest.raises(UserError, match="teacher must be a dense run of the same"):
        base.train(other, config, rkd.train)
    config.method.rkd.teacher = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match="finished its training"):
        base.train(other, config, rkd.train)


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
