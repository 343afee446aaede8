import dataclasses
import io

import numpy as np
import pytest
import rich.console
import tensorflow as tf

from dsl_tf import config_files, plugins
from dsl_tf.errors import UserError
from dsl_tf.methods import (
    _training,
    base,
    dense,
    lottery_ticket,
    popularity,
    small_dim,
)
from dsl_tf.methods import set as set_
from dsl_tf.training.evaluator import Evaluator
from dsl_tf.types import Interactions


@pytest.mark.parametrize(("name", "slots"), [("adam", 2), ("adagrad", 1), ("sgd", 1)])
def test_optimizers(small_config, small_split, name, slots):
    small_config.optimizer.name = name
    tables = dense.make_tables(small_config, small_split, seed=0)
    model, _ = base.make_model(small_split, small_config, tables, seed=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    elements = sum(w.shape.num_elements() for w in model.trainable_variables)
    held = sum(v.shape.num_elements() for v in model.optimizer.variables)
    assert held == slots * elements + 1  # and the count of steps


def test_unknown_names_are_one_line(small_config, small_split):
    small_config.optimizer.name = "adamant"
    tables = dense.make_tables(small_config, small_split, seed=0)
    with pytest.raises(UserError, match=r"lazy_adam or a Keras optimiser.*'adamant'"):
        base.make_model(small_split, small_config, tables, seed=0)
    small_config.model.name = "neumv"
    with pytest.raises(UserError, match=r"backbone must be one of .*neumf"):
        base.make_model(small_split, small_config, None, seed=0)


def test_restore_gives_back_what_train_did(small_config, small_split, tmp_path):
    small_config.train.update(epochs=1, refit=True)
    console = rich.console.Console(quiet=True)
    task = base.Task(small_split, 3, tmp_path, console)
    with pytest.raises(UserError, match="finished its training"):
        base.restore(task, small_config, dense.train)
    trained = base.train(task, small_config, dense.train)
    again = base.restore(task, small_config, dense.train)
    for ours, theirs in zip(again.model.weights, trained.model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert [p.state for p in again.passes] == [p.state for p in trained.passes]
    assert all(p.cost is None for p in again.passes)
    assert again.split.fingerprint() == trained.split.fingerprint()
    assert [each.name for each in again.passes] == ["select", "refit"]


def test_test_interactions_are_not_read(small_config, small_split, tmp_path):
    """Training on a split without its test part gives the same model."""

    def weights(split, folder):
        task = base.Task(split, 0, tmp_path / folder, rich.console.Console(quiet=True))
        return base.train(task, small_config, dense.train).model.get_weights()

    small_config.train.epochs = 1
    nothing = Interactions(np.zeros(0, np.int32), np.zeros(0, np.int32))
    blind = dataclasses.replace(small_split, test=nothing)
    for ours, theirs in zip(
        weights(small_split, "a"), weights(blind, "b"), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def users_held_out(small_split):
    """The last hundred users are asked about, half of them for validation."""
    known = small_split.known()
    out = known.users >= 300
    test = small_split.test
    return dataclasses.replace(
        small_split,
        train=known.take(~out),
        fold_in=known.take(out),
        validation=test.take(test.users >= 350),
        test=test.take((test.users >= 300) & (test.users < 350)),
    )


def test_users_held_out_need_what_answers_histories(
    small_config, users_held_out, tmp_path
):
    """Told before a step is trained."""
    small_config.evaluation.protocol = "strong_generalization"
    task = base.Task(users_held_out, 0, tmp_path, rich.console.Console(quiet=True))
    with pytest.raises(UserError, match="by their items, which autoencoders, "):
        base.train(task, small_config, dense.train)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["popularity", "item_knn", "ease"])
def test_rows_without_a_network_answer_about_users_held_out(
    small_config, users_held_out, tmp_path, name
):
    """By what is known of them, which no training part has."""
    small_config.evaluation.protocol = "strong_generalization"
    small_config.method.name = name
    task = base.Task(users_held_out, 0, tmp_path, rich.console.Console(quiet=True))
    method = plugins.find("dsl_tf.methods", name, "method")
    model = base.train(task, small_config, method.train).model
    found = Evaluator(model, small_config, users_held_out, "test")()
    assert len(found.users) == 50
    popular = base.train(task, small_config, popularity.train).model
    lowest = Evaluator(popular, small_config, users_held_out, "test")().mean
    better = found.mean["recall@20"] - lowest["recall@20"]
    assert better > 0.02 if name != "popularity" else better == 0
    users = np.array([350, 0, 399])
    known = users_held_out.fold_in.csr(400, users_held_out.num_items)[users]
    history = tf.RaggedTensor.from_row_splits(known.indices, known.indptr)
    scores = model.score({"history": history}).numpy()
    if name == "popularity":
        np.testing.assert_array_equal(scores, np.tile(scores[:1], (3, 1)))
    else:
        expected = known @ model._similarities()
        expected = getattr(expected, "toarray", lambda: expected)()
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
        assert not scores[1].any()  # nothing is known of them


def test_users_held_out_need_their_protocol(small_config, users_held_out, tmp_path):
    task = base.Task(users_held_out, 0, tmp_path, rich.console.Console(quiet=True))
    with pytest.raises(UserError, match="must be strong_generalization"):
        base.train(task, small_config, dense.train)


def test_nodes_out_of_the_graph_are_told_before_training(
    small_split, tmp_path, monkeypatch
):
    config = config_files.load(config_files.find("lightgcn.py"), "own")
    stays = small_split.train.users != 5
    split = dataclasses.replace(small_split, train=small_split.train.take(stays))
    console = rich.console.Console(record=True, file=io.StringIO())

    def told(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_training, "fit", told)
    with pytest.raises(KeyboardInterrupt):
        base.train(base.Task(split, 0, tmp_path, console), config, dense.train)
    assert "Warning: 1 users and 0 items without training" in console.export_text()


def test_a_backbone_that_is_not_accepted_is_not_trained(
    small_config, small_split, tmp_path, monkeypatch
):
    def accept(backbone):
        raise UserError(f"no {backbone.name}")

    monkeypatch.delattr(_training, "fit")
    console = rich.console.Console(quiet=True)
    task = base.Task(small_split, 0, tmp_path, console, accept)
    with pytest.raises(UserError, match="no mf"):
        base.train(task, small_config, dense.train)


@pytest.mark.parametrize("of", [base.train, base.planned])
@pytest.mark.parametrize(
    ("method", "target"), [(lottery_ticket, 1.0), (small_dim, -1.0)]
)
def test_a_sparsity_out_of_range_is_told_first(
    small_config, small_split, tmp_path, monkeypatch, of, method, target
):
    """The one was a traceback, the other a wider model."""
    small_config.sparsity.target = target
    monkeypatch.delattr(_training, "fit")
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    with pytest.raises(UserError, match=rf"sparsity.target` must .*d: {target}"):
        of(task, small_config, method.train)


def test_no_epochs_are_refused_where_passes_are_only_counted(
    small_config, small_split, tmp_path
):
    """A schedule by epochs divided by them."""
    small_config.train.epochs = 0
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    with pytest.raises(UserError, match=r"train.epochs` must be at least 1"):
        base.planned(task, small_config, set_.train)


def test_the_best_of_several_is_that_of_the_highest_validation(
    small_config, small_split, tmp_path, monkeypatch
):
    """Once: what was chosen is read the second time. Of equal ones the first."""
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    quality = {1.0: 0.1, 2.0: 0.3, 3.0: 0.3, 4.0: 0.2}
    asked = []

    def validation(self, model, config):
        asked.append(model)
        return {"recall@20": quality[model]}

    monkeypatch.setattr(base.Training, "validation", validation)
    tried = [(each,) for each in quality]
    for _ in range(2):
        passes = base.Training(task, small_config, small_split)
        best = passes.best_of("x", tried, lambda value: value, small_config)
        assert list(best) == [2.0]
        assert [each.name for each in passes.taken] == ["choose_x"]
    assert asked == list(quality)
