"""One trial: trained and validated, never tested."""

import dataclasses

import numpy as np
import optuna
import pytest
import rich.console

from dsl_tf import data, results, run_folder
from dsl_tf.errors import UserError
from dsl_tf.tuning import trial

QUIET = rich.console.Console(quiet=True)


@pytest.fixture
def config(small_config, small_split, monkeypatch):
    small_config.train.update(epochs=2, patience=0, refit=True)
    small_config.method.name = "dense"
    # Whoever looks at the test part gets nothing to look at.
    nothing = small_split.test.take(np.zeros(0, np.int64))
    split = dataclasses.replace(small_split, test=nothing)
    monkeypatch.setattr(data, "load_split", lambda _: split)
    return small_config


@pytest.fixture
def told():
    """A trial that has drawn nothing."""
    return optuna.create_study(direction="maximize").ask()


def _reported(told):
    return told.study.trials[0].intermediate_values


def test_the_best_validation_and_each_on_the_way(config, told):
    value = trial.quality(config, told, QUIET)
    values = _reported(told)
    assert list(values) == [1, 2]
    assert value == max(values.values())


def test_the_mean_of_several_seeds(config, told):
    config.train.epochs = 1
    each = []
    for seed in (0, 1):
        config.seeds = (seed,)
        study = optuna.create_study()
        each.append(trial.quality(config, study.ask(), QUIET))
    config.seeds = (0, 1)
    assert trial.quality(config, told, QUIET) == pytest.approx(np.mean(each), abs=1e-7)
    assert list(_reported(told)) == [1]


def test_a_trial_that_lags_behind_ends(config, told, monkeypatch):
    monkeypatch.setattr(told, "should_prune", lambda: True)
    with pytest.raises(optuna.TrialPruned):
        trial.quality(config, told, QUIET)
    assert len(_reported(told)) == 1


def test_without_validation_there_is_nothing_to_search_by(config, told, monkeypatch):
    split = data.load_split(None)
    nothing = split.validation.take(np.zeros(0, np.int64))
    split = dataclasses.replace(split, validation=nothing)
    monkeypatch.setattr(data, "load_split", lambda _: split)
    with pytest.raises(UserError, match="needs validation interactions"):
        trial.quality(config, told, QUIET)


def test_a_teacher_is_looked_at(config, told, small_split, tmp_path):
    """As in a run: it may have been trained on what is validated on."""
    config.method.name = "dense"
    settings = results.settings(config, small_split.with_validation(), 0, "")
    run_folder.record(settings, tmp_path)
    config.method.name = "rkd"
    config.method.rkd.teacher = str(tmp_path)
    with pytest.raises(UserError, match="must be trained on the same split"):
        trial.quality(config, told, QUIET)
