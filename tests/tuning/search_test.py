"""A search in a folder, and what is written of it."""

import dataclasses
import json

import matplotlib.image
import optuna
import pandas as pd
import pytest
import rich.console
from optuna.trial import TrialState

from dsl_tf import config_files
from dsl_tf.errors import UserError
from dsl_tf.tuning import findings, space
from dsl_tf.tuning import search as search_module
from dsl_tf.tuning.search import Search, run


@pytest.fixture
def search(tmp_path):
    """Over the epochs and the learning rate of MF."""
    config = config_files.load(config_files.find("mf.py"), "demo")
    varied = {
        "train.epochs": (10, 20),
        "train.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    }
    return Search(tmp_path / "s", config, space.distributions(varied, config))


def _take(search, value=None, state=TrialState.COMPLETE, **attributes):
    """A trial as a worker takes it, with a value of its own."""
    study = search.study()
    trial = study.ask()
    space.draw(trial, search.space)
    for name, text in attributes.items():
        trial.set_user_attr(name, text)
    study.tell(trial, value, state=state)
    return trial.params


def test_the_first_trial_is_the_config_as_it_is(search):
    assert _take(search, 0.1) == {"train.epochs": 20, "train.learning_rate": 5e-3}
    assert _take(search, 0.1) != {"train.epochs": 20, "train.learning_rate": 5e-3}


def test_trials_are_not_drawn_alike(search):
    _take(search, 0.1)
    drawn = {_take(search, 0.1)["train.learning_rate"] for _ in range(4)}
    assert len(drawn) == 4


def test_another_search_in_the_folder_is_refused(search):
    _take(search, 0.1)
    varied = {"train.epochs": (10, 30)}
    other = space.distributions(varied, search.config)
    with pytest.raises(UserError, match=r"which varies train\.epochs: 10, 20"):
        Search(search.folder, search.config, other).study()
    config = search.config.copy_and_resolve_references()
    config.model.embedding_dim = 8
    with pytest.raises(UserError, match=r"whose `model.embedding_dim` is 64, not 8"):
        Search(search.folder, config, search.space).study()
    assert len(Search(search.folder, search.config, search.space).study().trials) == 1


def test_a_search_older_than_a_key_goes_on(search):
    """It then had the key's default."""
    _take(search, 0.1)
    study = search.study()
    asked = study.user_attrs["asked"]
    del asked["config"]["growth"]["second_moment"]
    study.set_user_attr("asked", asked)
    assert len(Search(search.folder, search.config, search.space).study().trials) == 1
    config = search.config.copy_and_resolve_references()
    config.growth.second_moment = (
        "zero" if config.growth.second_moment == "row" else "row"
    )
    with pytest.raises(UserError, match="second_moment"):
        Search(search.folder, config, search.space).study()


@pytest.mark.parametrize(("sampler", "pruner"), [("grid", "none"), ("tpe", "mean")])
def test_unknown_samplers_and_pruners(search, sampler, pruner):
    with pytest.raises(UserError, match="must be one of"):
        Search(search.folder, search.config, search.space, sampler, pruner).study()


@pytest.mark.parametrize("sampler", search_module.SAMPLERS)
@pytest.mark.parametrize("pruner", ["halving", "none"])
def test_every_sampler_draws(search, sampler, pruner):
    """CMA-ES needed a package that was not installed with this one."""
    search = dataclasses.replace(search, sampler=sampler, pruner=pruner)
    drawn = [_take(search, value)["train.learning_rate"] for value in (0.1, 0.3, 0.2)]
    assert len(set(drawn)) == 3


def test_findings(search):
    drawn = [_take(search, value) for value in (0.1, 0.3, 0.2)]
    _take(search, None, TrialState.FAIL, error="`train.epochs` is wrong.")
    findings.write(search)
    table = pd.read_csv(search.folder / "trials.csv")
    assert list(table["state"]) == ["complete"] * 3 + ["fail"]
    assert table["error"][3] == "`train.epochs` is wrong."
    content = json.loads((search.folder / "best.json").read_text())
    assert (content["value"], content["trial"]) == (0.3, 1)
    assert content["settings"] == drawn[1]
    assert content["fixed"] == {"method.name": search.config.method.name}
    assert matplotlib.image.imread(search.folder / "trials.png").std() > 0.01


def test_the_best_command(search, capsys):
    _take(search, 0.1)
    console = rich.console.Console(width=400)
    fixed = ["--config=configs/mf.py", "--config.data.seed=3"]
    findings.show(search.study(), search, fixed, console)
    said = capsys.readouterr().out
    assert (
        "Best: python -m dsl_tf.main --config=configs/mf.py --config.data.seed=3 "
        "--config.train.epochs=20 --config.train.learning_rate=0.005"
    ) in said


def test_lines(search):
    _take(search, 0.25)
    _take(search, None, TrialState.FAIL, error="No.")
    done, failed = search.study().trials
    assert findings.line(done).split()[:3] == ["done", "0", "0.2500"]
    assert findings.line(failed).split()[:3] == ["failed", "1", "-"]
    assert findings.line(failed).endswith("No.")
    pruned = optuna.trial.create_trial(
        state=TrialState.PRUNED, intermediate_values={1: 0.125, 2: 0.5}
    )
    assert findings.line(pruned).split()[2] == "0.5000"  # the last it reached


def test_a_trial_that_ctrl_c_ended_is_taken_again_each_time(search):
    """Optuna keeps it as failed: the config as it is was never tried."""
    own = {"train.epochs": 20, "train.learning_rate": 5e-3}

    def interrupted(trial):
        space.draw(trial, search.space)
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            search.study().optimize(interrupted, n_trials=1)
        study = run(search, 0, (), print)
        assert study.trials[-2].state is TrialState.FAIL
        assert study.trials[-2].params == own
    assert len(study.trials) == 4
    assert _take(search, 0.1) == own
    assert _take(search, 0.1) != own


def test_a_trial_that_is_killed_is_taken_again_once(search):
    def killed():
        trial = search.study().ask()
        space.draw(trial, search.space)
        return trial.params

    first = killed()
    run(search, 0, (), print)
    assert killed() == first
    study = run(search, 0, (), print)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 3
    assert study.trials[-1].params == first
    assert study.trials[-1].user_attrs["error"] == "Twice: Its process was killed."
    assert killed() != first


def test_a_trial_that_breaks_down_is_taken_again_once(search):
    """It was asked for again in each call, and no call came beyond it."""

    def broken(trial):
        space.draw(trial, search.space)
        trial.set_user_attr(search_module.BROKE, "MemoryError: 3 GB")
        raise MemoryError

    for _ in range(2):
        with pytest.raises(MemoryError):
            search.study().optimize(broken, n_trials=1)
        study = run(search, 0, (), print)
    assert study.trials[-1].user_attrs["error"] == "Twice: MemoryError: 3 GB"
    assert study.trials[-1].params == study.trials[0].params
    assert _take(search, 0.1) != study.trials[0].params
