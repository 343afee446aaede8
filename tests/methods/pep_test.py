import dataclasses

import numpy as np
import pytest
import rich.console

from dsl_tf.methods import _tasks, base, pep
from dsl_tf.types import empty_interactions


@pytest.fixture
def task(small_split, tmp_path):
    return base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))


@pytest.mark.parametrize(
    "granularity", ["row", pytest.param("weight", marks=pytest.mark.slow)]
)
def test_the_search_ends_when_it_is_within_the_budget(small_config, task, granularity):
    """Thresholds that begin high enough are above half of the weights soon."""
    small_config.train.epochs = 6
    small_config.sparsity.target = 0.5
    small_config.method.pep.update(granularity=granularity, initial_threshold=-3.0)
    trained = base.train(task, small_config, pep.train)
    assert [each.name for each in trained.passes] == ["search", "select"]
    search = trained.passes[0].state
    size = sum(w.shape[0] * w.shape[1] for w in trained.model.sparse_weights())
    reached = [row["nnz"] <= size / 2 for row in search.history]
    assert reached[-1]
    assert not any(reached[:-1])
    assert search.best_epoch == search.epochs
    for weight in trained.model.sparse_weights():
        budget = weight.shape[0] * weight.shape[1] // 2
        assert np.count_nonzero(weight.mask()) == weight.nnz == budget


def test_a_search_that_gets_nowhere_takes_the_farthest_above(
    small_config, task, monkeypatch
):
    small_config.train.epochs = 2
    small_config.sparsity.target = 0.75
    small_config.method.pep.initial_threshold = -20.0
    masks = {}

    def found(model, sparsity, original=pep.found):
        for layer in pep.thresholded(model):
            margins = layer.margins()
            kept = np.sort(margins.reshape(-1))[::-1][: round(margins.size / 4)]
            masks[layer.name] = margins >= kept[-1]
        return original(model, sparsity)

    monkeypatch.setattr(pep, "found", found)
    trained = base.train(task, small_config, pep.train)
    assert trained.passes[0].state.best_epoch == 2
    names = list(masks)
    assert len(names) == len(trained.model.sparse_weights())
    for name, weight in zip(names, trained.model.sparse_weights(), strict=True):
        np.testing.assert_array_equal(weight.mask(), masks[name])


def test_it_is_trained_from_the_initial_weights(small_config, small_split, take):
    """V, not what is above the thresholds, of which a tenth is nothing here."""
    small_config.train.epochs = 1
    small_config.method.pep.initial_threshold = -6.0
    taken = take(pep.train, small_config)
    fresh = pep.make_tables(small_config, small_split, 0)
    model = base.make_backbone(small_split, small_config, fresh, 0)
    began = taken.began["select"]
    for layer in pep.thresholded(model):
        mask = began.masks[layer.name]
        expected = np.where(mask, layer.embeddings, 0.0)
        np.testing.assert_array_equal(began.tables[layer.name], expected)


def test_a_search_outside_its_budget_says_so(small_config, task):
    small_config.train.epochs = 1
    trained = base.train(task, small_config, pep.train)
    (said,) = trained.warnings
    search = trained.passes[0].state.history[-1]["nnz"]
    budget = sum(weight.nnz for weight in trained.model.sparse_weights())
    assert f"with {search:,} weights above" in said
    assert f"more than the {budget:,} asked for" in said
    assert base.restore(task, small_config, pep.train).warnings == (said,)
    assert not base.planned(task, small_config, pep.train)[0].cost.seconds
    small_config.method.pep.update(granularity="row", initial_threshold=0.0)
    other = dataclasses.replace(task, folder=task.folder / "other")
    assert not base.train(other, small_config, pep.train).warnings


def test_without_validation_it_ends_there_too(small_config, task):
    """It took all epochs."""
    task = dataclasses.replace(
        task, split=dataclasses.replace(task.split, validation=empty_interactions())
    )
    small_config.train.epochs = 6
    small_config.method.pep.update(granularity="row", initial_threshold=-2.0)
    search, _ = base.train(task, small_config, pep.train).passes
    budget = search.state.history[-1]["nnz"]
    assert search.state.epochs == search.state.best_epoch < 6
    assert all(row["nnz"] > budget for row in search.state.history[:-1])


def test_a_refit_searches_for_as_long_as_the_first_time(small_config, task):
    """However soon it is within its budget."""
    small_config.method.pep.update(granularity="row", initial_threshold=0.0)
    steps = 3 * (len(task.split.train) // small_config.train.batch_size)
    plan = _tasks.Plan(steps, steps)
    plans = {"search": plan, "select": plan}
    refit = base.Training(task, small_config, task.split, plans)
    pep.train(refit, small_config)
    assert refit.taken[0].state.history[-1]["step"] == steps
