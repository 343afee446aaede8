import numpy as np
import pytest
import rich.console

from dsl_tf import config_files, results
from dsl_tf.errors import UserError
from dsl_tf.methods import _training, base, dense, rkd, tkd


@pytest.fixture
def config(small_config):
    small_config.train.epochs = 1
    small_config.sparsity.target = 0.5
    return small_config


@pytest.fixture
def teach(small_split, tmp_path):
    """Trains a dense run, and writes its costs: its folder, and what it made."""

    def run(config):
        folder = tmp_path / "run"
        quiet = rich.console.Console(quiet=True)
        task = base.Task(small_split, 7, folder / base.CHECKPOINTS, quiet)
        trained = base.train(task, config, dense.train)
        results.write(folder, results.COST, results.costs(trained, 1))
        return folder, trained

    return run


@pytest.mark.parametrize("method", [rkd, tkd])
def test_a_teacher_of_another_run_costs_what_it_cost(config, task, teach, method):
    folder, teacher = teach(config)
    config.method[method.__name__.rpartition(".")[2]].teacher = str(folder)
    trained = base.train(task, config, method.train)
    names = ["teacher", "rank" if method is rkd else "vectors", "select"]
    assert [each.name for each in trained.passes] == names
    training = results.costs(trained, base_rss_bytes=1)["training"]
    before = teacher.passes[0].cost
    read, *own = training["passes"]
    assert read["read_from"] == str(folder)
    assert [each["read_from"] for each in own] == ["", ""]
    assert read["macs"] == before.macs.total > 0
    assert read["layers"].keys() == before.layers.keys()
    for total in ("macs", "seconds", "steps"):
        each = [taken[total] for taken in training["passes"]]
        assert training[total] == pytest.approx(sum(each), abs=1e-3)
        assert each[0] > 0
    # What is left to do is without it.
    planned = base.planned(task, config, method.train)
    assert [each.name for each in planned] == names[1:]
    # What is learnt has been learnt: a read-back does not need the teacher.
    folder.rename(folder.with_name("moved"))
    again = base.restore(task, config, method.train)
    assert [each.name for each in again.passes] == names[1:]
    for ours, theirs in zip(again.model.weights, trained.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_refit_learns_from_the_refit_of_its_teacher(config, task, teach):
    config.train.refit = True
    folder, teacher = teach(config)
    config.method.rkd.teacher = str(folder)
    trained = base.train(task, config, rkd.train)
    names = ["teacher", "rank", "select", "teacher_refit", "rank_refit", "refit"]
    assert [each.name for each in trained.passes] == names
    for mine, its in zip(trained.passes[::3], teacher.passes, strict=True):
        assert mine.cost.layers == its.cost.layers

    first = base.Training(task, config, task.split)
    again = base.Training(task, config, task.split.with_validation(), {})
    before, after = (
        base.selected(passes, folder, config, dense.train).tables.whole().numpy()
        for passes in (first, again)
    )
    refitted = teacher.model.tables.whole().numpy()
    np.testing.assert_array_equal(after, refitted)
    assert np.any(before != refitted)


def test_in_a_refit_a_teacher_without_one_is_what_it_was(task, teach):
    """It keeps the graph that it was trained with."""
    config = config_files.load(config_files.find("lightgcn.py"), "own")
    config.model.update(embedding_dim=4, num_layers=1)
    config.train.update(epochs=1, negatives=8)
    folder, teacher = teach(config)
    again = base.Training(task, config, task.split.with_validation(), {})
    model = base.selected(again, folder, config, dense.train)
    np.testing.assert_array_equal(model.item_vectors(), teacher.model.item_vectors())


def test_a_teacher_that_cannot_be_read_is_one_line(config, task, teach, tmp_path):
    config.method.rkd.teacher = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match="finished its training"):
        base.train(task, config, rkd.train)
    folder, _ = teach(config)
    config.method.rkd.teacher = str(folder)
    config.model.embedding_dim *= 2
    with pytest.raises(UserError, match="teacher must be a dense run of the same"):
        base.train(task, config, rkd.train)
    config.model.embedding_dim //= 2
    (folder / results.COST).unlink()
    with pytest.raises(UserError, match=r"in its cost\.json\. Received: .*run\.$"):
        base.train(task, config, rkd.train)


def test_an_autoencoder_is_refused_before_its_training(
    small_split, tmp_path, monkeypatch
):
    config = config_files.load(config_files.find("cdae.py"), "own")
    config.method.name = "rkd"
    monkeypatch.delattr(_training, "fit")
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    with pytest.raises(UserError, match="rkd needs a backbone that scores pairs"):
        base.train(task, config, rkd.train)
