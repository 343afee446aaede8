import concurrent.futures
import dataclasses
import json
import os
import shutil
import threading

import numpy as np
import pytest
import rich.console

from dsl_tf import config_files, plugins
from dsl_tf.methods import base
from dsl_tf.training.shared import SharedPasses

WIDTH = 4


@pytest.fixture
def train(small_split, small_config, tmp_path):
    """Trains MF in the folder `name`, with passes that others may have."""
    settings = config_files.load(config_files.find("mf.py"), "own")
    settings.train.update(small_config.train)
    settings.train.epochs = 1
    settings.train.negatives = 8
    settings.sparsity.update_interval = small_config.sparsity.update_interval
    settings.model.embedding_dim = WIDTH

    def run(name, method, keys=None, seed=0, split=small_split, share=True):
        config = settings.copy_and_resolve_references()
        config.method.name = method
        config.update_from_flattened_dict(keys or {})
        run = tmp_path / name
        shared = SharedPasses(tmp_path / "shared", run) if share else None
        task = base.Task(
            split,
            seed,
            run / "checkpoints",
            rich.console.Console(quiet=True),
            shared=shared,
        )
        module = plugins.find("dsl_tf.methods", method, "method")
        return base.train(task, config, module.train)

    return run


def read(trained):
    """Of each pass by its name, the run that took it; "" for this one."""
    return {each.name: os.path.basename(each.cost.read_from) for each in trained.passes}


def tickets(sparsity):
    return {"sparsity.target": sparsity, "method.lottery_ticket.share": 0.3}


def assert_equal(model, other):
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_rounds_that_another_ticket_has_taken_are_read(train):
    first = train("first", "lottery_ticket", tickets(0.5))
    assert read(first) == {"dense": "", "round_1": "", "select": ""}
    second = train("second", "lottery_ticket", tickets(0.6))
    # 7/10, then 49/100 or what the target leaves, which differs.
    assert read(second) == {
        "dense": "first",
        "round_1": "first",
        "round_2": "",
        "select": "",
    }
    alone = train("alone", "lottery_ticket", tickets(0.6), share=False)
    assert read(alone) == dict.fromkeys(read(second), "")
    assert_equal(second.model, alone.model)
    for ours, theirs, taken in zip(
        second.passes, alone.passes, [*first.passes[:2], None, None], strict=True
    ):
        same = {"layers", "steps", "epochs", "size", "state_bytes", "as_published"}
        for name in same:
            assert getattr(ours.cost, name) == getattr(theirs.cost, name), name
        losses = [row["loss"] for row in ours.state.history]
        assert losses == [row["loss"] for row in theirs.state.history]
        if taken is not None:  # as it was measured then
            assert ours.cost.seconds == taken.cost.seconds
            assert ours.cost.peak_rss_bytes == taken.cost.peak_rss_bytes


def test_a_dense_pass_is_read_whatever_comes_after_it(train):
    pruned = train("pruned", "magnitude_pruning")
    keys = {"method.without_rewinding.share": 0.5}
    again = train("again", "without_rewinding", keys)
    assert read(pruned)["dense"] == ""
    assert read(again)["dense"] == "pruned"
    # Plain Keras tables have other variables than those that are pruned.
    rounded = train("rounded", "quantised")
    dense = train("dense", "dense")
    assert read(rounded) == {"select": ""}
    assert read(dense) == {"select": "rounded"}
    taught = train("taught", "rkd", {"sparsity.target": 0.5})
    # Who took it, not who read it last.
    assert read(taught) == {"teacher": "rounded", "rank": "", "select": ""}


def test_what_was_read_stays_read_when_the_run_goes_on(train):
    train("first", "magnitude_pruning")
    second = train("second", "magnitude_pruning", {"sparsity.target": 0.75})
    again = train("second", "magnitude_pruning", {"sparsity.target": 0.75})
    assert read(second) == read(again) == {"dense": "first", "select": ""}
    assert_equal(second.model, again.model)


def test_a_pass_of_another_config_seed_or_other_data_is_taken(train, small_split):
    train("first", "dense")
    for keys in (
        {"train.learning_rate": 0.5},
        {"train.epochs": 2},
        {"model.regularization": 0.5},
        {"optimizer.beta_2": 0.9},
        {"evaluation.cutoffs": (5,)},
    ):
        assert read(train(str(keys), "dense", keys)) == {"select": ""}, keys
    assert read(train("seed", "dense", seed=1)) == {"select": ""}
    # Validation draws its users by it.
    assert read(train("drawn", "dense", {"data.seed": 7})) == {"select": ""}
    fewer = dataclasses.replace(
        small_split, train=small_split.train.take(np.arange(1, len(small_split.train)))
    )
    assert read(train("data", "dense", split=fewer)) == {"select": ""}
    assert read(train("again", "dense")) == {"select": "first"}


def test_what_more_than_weights_and_config_decides_is_never_shared(train):
    """Callbacks and added losses are not in what a pass is known by."""
    keys = {"sparsity.target": 0.5, "method.gradual_magnitude.frequency": 5}
    # The student of `rkd` begins as the narrow model does that nobody teaches.
    train("narrow", "small_dim", keys)
    for method in ("dsl", "gradual_magnitude", "rkd"):
        train(f"{method} first", method, keys)
        again = read(train(f"{method} again", method, keys))
        assert again["select"] == ""
    assert read(train("narrow again", "small_dim", keys)) == {"select": "narrow"}


def test_a_refit_shares_too_and_not_with_the_first_time(train, small_config):
    keys = {"train.refit": True}
    assert set(read(train("first", "dense", keys)).values()) == {""}
    second = train("second", "dense", keys)
    assert read(second) == {"select": "first", "refit": "first"}


def test_where_files_cannot_be_linked_they_are_copied(train, monkeypatch):
    def refuse(source, target):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    first = train("first", "dense")
    second = train("second", "dense")
    assert read(second) == {"select": "first"}
    assert_equal(first.model, second.model)


def test_the_passes_outlive_the_run_that_took_them(train, tmp_path):
    first = train("first", "dense")
    shutil.rmtree(tmp_path / "first")
    second = train("second", "dense")
    assert read(second) == {"select": "first"}
    assert_equal(first.model, second.model)


@pytest.fixture
def finish(tmp_path):
    """Takes a pass of one file in the folder of the run `name`, when it may."""

    def take(name, *, finished=None, waits=lambda: None, meanwhile=lambda: None):
        folder = tmp_path / name / "select"
        if finished is not None:  # it was begun before
            (folder / "step-1").mkdir(parents=True)
            state = json.dumps({"finished": finished})
            (folder / "step-1" / "state.json").write_text(state)
        shared = SharedPasses(tmp_path / "shared", tmp_path / name)
        with shared.taking("key", folder, waits) as read:
            meanwhile()
            if not read:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "weights").write_text(name)
        return (folder / "weights").read_text()

    return take


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield pool


def test_who_comes_to_a_pass_that_another_run_takes_waits_for_it(finish, pool):
    waiting, second = threading.Event(), []

    def while_it_is_taken():
        second.append(pool.submit(finish, "second", waits=waiting.set))
        assert waiting.wait(30)

    assert finish("first", meanwhile=while_it_is_taken) == "first"
    assert second[0].result(30) == "first"
    assert finish("third") == "first"


def test_who_waits_takes_the_pass_that_another_run_does_not_finish(finish, pool):
    waiting, second = threading.Event(), []

    def ended():
        second.append(pool.submit(finish, "second", waits=waiting.set))
        assert waiting.wait(30)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish("first", meanwhile=ended)
    assert second[0].result(30) == "second"


def test_a_pass_that_was_begun_waits_for_nobody(finish):
    def while_it_is_taken():
        assert finish("second", finished=False, waits=pytest.fail) == "second"

    assert finish("first", meanwhile=while_it_is_taken) == "first"
    assert finish("third") == "second"


def test_of_a_pass_that_was_begun_what_another_run_has_finished_is_read(finish):
    assert finish("first") == "first"
    assert finish("begun", finished=False) == "first"
    assert finish("finished", finished=True) == "finished"
