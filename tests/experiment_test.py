"""Whole runs in this process: what they write, and how they go on."""

import dataclasses
import json
import pathlib
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf import experiment, run_folder
from dsl_tf.errors import UserError

README = pathlib.Path(__file__).parents[1] / "README.md"


class _Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture
def config(small_config, small_csv):
    small_config.data.path = str(small_csv)
    small_config.train.epochs = 2
    return small_config.lock()


def _kill(*args, **kwargs):
    raise _Killed


@pytest.fixture(scope="module")
def _runs():
    return {}


@pytest.fixture
def single(config, tmp_path_factory, _runs):
    """A finished run of seed 0 that was killed in its export."""
    if "single" not in _runs:
        folder = tmp_path_factory.mktemp("runs") / "single"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(experiment.artefacts, "export_model", _kill)
            with pytest.raises(_Killed):
                experiment.train(config, folder, command="python -m dsl_tf.main")
        with pytest.MonkeyPatch.context() as patch:
            # Only what is missing is done again.
            patch.setattr(experiment, "_evaluate", _kill)
            patch.setattr(keras.Model, "fit", _kill)
            experiment.train(config, folder, resume=True)
        _runs["single"] = folder
    return _runs["single"]


@pytest.fixture
def several(config, tmp_path_factory, _runs):
    """A finished run of seeds 0 and 1 that was killed in seed 1's evaluation."""
    if "several" not in _runs:
        folder = tmp_path_factory.mktemp("runs") / "several"
        evaluate = experiment._evaluate

        def evaluate_first(config, split, trained, folder):
            if folder.name == "seed_1":
                raise _Killed
            evaluate(config, split, trained, folder)

        config.seeds = (0, 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(experiment, "_evaluate", evaluate_first)
            with pytest.raises(_Killed):
                experiment.train(config, folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keras.Model, "fit", _kill)
            experiment.train(config, folder, resume=True)
        _runs["several"] = folder
    config.seeds = (0, 1)
    return _runs["several"]


@pytest.mark.parametrize("key", ["method.name", "model.name"])
def test_a_wrong_name_is_told_before_anything_is_read_or_deleted(
    config, tmp_path, monkeypatch, key
):
    monkeypatch.setattr(experiment.data, "load_split", _kill)
    monkeypatch.setattr(experiment.run_folder, "claim", _kill)
    config.update_from_flattened_dict({key: "dls"})
    with pytest.raises(UserError, match=r"must be one of .* Received: 'dls'\."):
        experiment.train(config, tmp_path, overwrite=True)


def _contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _json(file):
    return json.loads(file.read_text())


def test_what_a_run_writes(single, config):
    names = {path.name for path in single.iterdir()}
    assert names == {
        *("config.json", "metrics.json", "cost.json", "history.csv"),
        *("per_user.npz", "sparsity.npz", "report.html"),
        *("checkpoints", "figures", "saved_model", "vocabulary"),
    }
    assert names <= set(run_folder.OWN)
    metrics = _json(single / "metrics.json")
    assert metrics["protocol"] == "full_ranking"
    assert metrics["refit"] is False
    assert metrics["users"] == 400
    assert set(metrics["valid"]) >= {"recall@20", "ndcg@20", "hit@20"}
    test = metrics["test"]
    low, high = test["ci95"]["recall@20"]
    assert 0 < low < test["recall@20"] < high < 1
    assert metrics["reference"]["popularity"]["recall@20"] > 0
    assert "seconds" not in json.dumps(metrics)
    per_user = np.load(single / "per_user.npz")
    assert per_user["recall@20"].mean() == pytest.approx(test["recall@20"])

    history = pd.read_csv(single / "history.csv")
    assert list(history.epoch) == [1, 2]
    assert list(history.step) == [26, 52]
    assert metrics["best_epoch"] == history["valid_recall@20"].argmax() + 1
    best = history["valid_recall@20"].max()
    assert metrics["valid"]["recall@20"] == pytest.approx(best)

    cost = _json(single / "cost.json")
    assert cost["sparsity"] == 0.5
    training = cost["training"]
    assert training["steps"] == 52
    assert training["peak_rss_bytes"] > training["base_rss_bytes"] > 0
    assert training["seconds"] >= history.seconds.sum()
    saved = [p for p in (single / "saved_model").rglob("*") if p.is_file()]
    assert cost["files"]["saved_model"] == sum(p.stat().st_size for p in saved)
    assert set(cost["files_detail"]["saved_model"]) == {
        *("tables", "histories", "network", "other"),
    }
    # A SavedModel has the numbers that were evaluated.
    served = cost["files_metrics"]["saved_model"]
    assert served["recall@20"] == pytest.approx(test["recall@20"], abs=1e-3)
    sparsity = np.load(single / "sparsity.npz")
    rows = np.concatenate([sparsity["users"], sparsity["items"]])
    assert rows.mean() == pytest.approx(0.5, abs=1e-3)


def test_a_finished_run_is_shown_not_redone(single, config, capsys, monkeypatch):
    before = _contents(single)
    monkeypatch.setattr(experiment, "_export", _kill)
    monkeypatch.setattr(experiment, "_evaluate", _kill)
    experiment.train(config, single, resume=True)
    assert _contents(single) == before
    assert "recall@20" in capsys.readouterr().out


def test_a_run_is_not_lost_by_accident(single, config, small_csv):
    before = _contents(single)
    with pytest.raises(UserError, match=r"--resume.*--overwrite"):
        experiment.train(config, single)
    config.train.learning_rate = 0.02
    with pytest.raises(UserError, match=r"`train.learning_rate` was 0.01"):
        experiment.train(config, single, resume=True)
    assert _contents(single) == before


def test_other_data_are_refused(single, config, small_csv, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(single / "config.json", folder)
    lines = small_csv.read_text().splitlines(keepends=True)
    original = small_csv.read_text()
    try:
        small_csv.write_text("".join(lines[:-5]))
        with pytest.raises(UserError, match="the data that it was begun with"):
            experiment.train(config, folder, resume=True)
        with pytest.raises(UserError, match="the data that it was begun with"):
            experiment.evaluate(folder)
    finally:
        small_csv.write_text(original)


def test_evaluate_writes_the_same_metrics(single, capsys):
    before = (single / "metrics.json").read_bytes()
    (single / "metrics.json").unlink()
    experiment.evaluate(single)
    assert (single / "metrics.json").read_bytes() == before
    assert "recall@20" in capsys.readouterr().out


def test_modes_need_a_run(tmp_path, single, config):
    with pytest.raises(UserError, match="must hold a run"):
        experiment.evaluate(tmp_path)
    shutil.copy(single / "config.json", tmp_path)
    with pytest.raises(UserError, match="must have finished its training"):
        experiment.evaluate(tmp_path)
    for mode in (
        lambda: experiment.export(tmp_path, None, {}),
        lambda: experiment.recommend(tmp_path, None, 5),
    ):
        with pytest.raises(UserError, match="finished run"):
            mode()


def _served(folder, users):
    module = tf.saved_model.load(str(folder))
    call = module.signatures["serving_default"]
    return {k: v.numpy() for k, v in call(user_id=tf.constant(users, tf.int64)).items()}


def test_recommend_answers_with_raw_ids(single):
    items = (single / "vocabulary" / "items.txt").read_text().split("\n")
    users = (single / "vocabulary" / "users.txt").read_text().split("\n")
    answer = experiment.recommend(single, ["user-0007", "user-0399"], 5)
    assert list(answer.columns) == ["user", "rank", "item", "score"]
    assert list(answer.user) == ["user-0007"] * 5 + ["user-0399"] * 5
    assert list(answer["rank"]) == [1, 2, 3, 4, 5] * 2
    rows = [users.index("user-0007"), users.index("user-0399")]
    served = _served(single / "saved_model", rows)
    expected = [items[item] for item in served["item_ids"][:, :5].reshape(-1)]
    assert list(answer.item) == expected
    np.testing.assert_allclose(
        answer.score, served["scores"][:, :5].reshape(-1), rtol=1e-5
    )


def test_recommend_to_everybody_more_than_there_is(single, small_split):
    answer = experiment.recommend(single, None, 1000)
    assert set(answer.user) == set(small_split.user_ids)
    known = small_split.activity() + np.bincount(
        small_split.validation.users, minlength=small_split.num_users
    )
    counts = answer.groupby("user").size()[list(small_split.user_ids)]
    # Everything but what is known, all of it, and nothing twice.
    np.testing.assert_array_equal(counts, small_split.num_items - known)
    assert not answer.duplicated(["user", "item"]).any()
    scores = answer.groupby("user").score
    assert scores.apply(lambda s: s.is_monotonic_decreasing).all()


def test_recommend_to_nobody_known(single):
    with pytest.raises(UserError, match=r"400 users, such as 'user-.*'nobody'"):
        experiment.recommend(single, ["user-0001", "nobody"], 5)


def test_export_again_and_for_a_server(single, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(single, folder)
    experiment.export(folder, str(tmp_path / "serving"), {"export.k": 3})
    assert _served(tmp_path / "serving" / "1", [0, 1])["item_ids"].shape == (2, 3)
    capsys.readouterr()
    overrides = {"export.k": 7, "export.formats": ("saved_model",)}
    experiment.export(folder, None, overrides)
    assert str(folder / "saved_model") in capsys.readouterr().out
    assert _served(folder / "saved_model", [0, 1])["item_ids"].shape == (2, 7)
    assert (
        _json(folder / "cost.json")["training"]
        == (_json(single / "cost.json")["training"])
    )


def test_what_is_printed_is_neither_broken_nor_read_as_markup(
    single, tmp_path, capsys, monkeypatch
):
    """A long path got a line break in it, and `[v2]` of a name was lost."""
    folder, name = tmp_path / "run", "ratings [v2].csv"
    shutil.copytree(single, folder)
    settings = _json(folder / "config.json")
    settings["data"]["name"] = name
    (folder / "config.json").write_text(json.dumps(settings))
    load = experiment.data.load_split

    def named(config):
        return dataclasses.replace(load(config), name=name, warnings=("[odd] :cat:",))

    monkeypatch.setattr(experiment.data, "load_split", named)
    serving = tmp_path / ("x" * 200) / "[v2]"
    experiment.export(folder, str(serving), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Warning: [odd] :cat:"
    assert lines[1].startswith("ratings [v2].csv (")
    assert lines[-1] == str(serving / "1")


def test_the_snippets_of_readme_serve_a_run(single, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(single, folder)
    experiment.export(folder, None, {"export.formats": ("saved_model", "tflite_int8")})
    part = README.read_text("utf-8").partition("## Serve it\n")[2].partition("\n## ")[0]
    capsys.readouterr()
    for snippet in re.findall(r"```python\n(.*?)```", part, re.DOTALL):
        exec(snippet.replace("saved_models/neumf-demo-dsl-0.5", str(folder)), {})
    first, second, third = capsys.readouterr().out.splitlines()
    items = (folder / "vocabulary" / "items.txt").read_text().split("\n")
    served = _served(folder / "saved_model", [0, 7])["item_ids"]
    assert [first.split(), second.split()] == [[items[i] for i in r] for r in served]
    rows = set(map(int, third.split()))
    assert len(rows) == 20
    assert not rows & {4, 8, 15}


def test_what_is_exported_again_keeps_no_number_of_the_file_before(single, tmp_path):
    """The bytes of the new file stood beside the recall of the old one."""
    folder = tmp_path / "run"
    shutil.copytree(single, folder)
    experiment.export(folder, None, {"export.formats": ("saved_model", "tflite")})
    assert set(_json(folder / "cost.json")["files_metrics"]) == {
        "saved_model",
        "model.tflite",
    }
    again = {"export.formats": ("tflite",), "export.evaluate": False}
    experiment.export(folder, None, again | {"export.table_bytes": 20_000})
    assert set(_json(folder / "cost.json")["files_metrics"]) == {"saved_model"}


def test_a_file_that_cannot_be_leaves_a_run_that_others_can_be_made_of(
    config, single, tmp_path, monkeypatch
):
    """A .tflite file of 2 GiB ended the run in a traceback, and no way led on."""
    folder = tmp_path / "run"
    shutil.copytree(single, folder)
    for name in ("report.html", "cost.json"):
        (folder / name).unlink()
    monkeypatch.setattr(experiment.artefacts.tflite, "MOST_BYTES", 1000)
    every = experiment._export_settings
    with monkeypatch.context() as patch:
        patch.setattr(
            experiment,
            "_export_settings",
            lambda config: every(config) | {"formats": ("tflite",)},
        )
        with pytest.raises(UserError, match=r"below 2 GiB: .* for model\.tflite\.$"):
            experiment.train(config, folder, resume=True)
    experiment.export(folder, None, {"export.formats": ("saved_model",)})
    cost = _json(folder / "cost.json")
    assert cost["training"]["macs"] == _json(single / "cost.json")["training"]["macs"]
    assert "saved_model" in cost["files"]
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("export.k", 0, "`export.k` must be at least 1"),
        ("export.table_bytes", 50_000, r"takes `export\.k` only. Received: export.tab"),
    ],
)
def test_what_a_server_cannot_have_is_told(single, tmp_path, key, value, rule):
    with pytest.raises(UserError, match=rule):
        experiment.export(single, str(tmp_path / "serving"), {key: value})
    assert not (tmp_path / "serving").exists()


def test_data_that_are_not_there_delete_no_run(single, config, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(single, folder)
    before = _contents(folder)
    config.data.path = str(tmp_path / "typo.csv")
    with pytest.raises(UserError, match="must exist"):
        experiment.train(config, folder, overwrite=True)
    assert _contents(folder) == before


def test_runs_that_share_passes_say_so(config, tmp_path):
    shared = tmp_path / "shared"
    config.unlock()
    config.export.formats = ()
    config.method.name = "dense"
    runs = [tmp_path / "dense", tmp_path / "dense again"]
    for folder in runs:
        experiment.train(config.lock(), folder, shared_passes=shared)
    own, read = (_json(folder / "cost.json")["training"] for folder in runs)
    assert own["passes"][0]["read_from"] == ""
    assert own["seconds_of_other_runs"] == 0.0
    assert read["passes"][0]["read_from"] == str(runs[0])
    assert read["seconds"] == read["seconds_of_other_runs"] == own["seconds"] > 0
    metrics = [_json(folder / "metrics.json") for folder in runs]
    assert metrics[0] == metrics[1]
    assert f"taken before, in {runs[0]}" in (runs[1] / "report.html").read_text()


def test_several_seeds(several, single, config):
    for seed in (0, 1):
        assert _json(several / f"seed_{seed}" / "config.json")["seed"] == seed
        assert (several / f"seed_{seed}" / "report.html").exists()
    # A seed among several is the run of that seed.
    alone = (single / "metrics.json").read_bytes()
    assert (several / "seed_0" / "metrics.json").read_bytes() == alone
    merged = _json(several / "metrics.json")
    each = [_json(several / f"seed_{s}" / "metrics.json") for s in (0, 1)]
    values = [run["test"]["recall@20"] for run in each]
    assert values[0] != values[1]
    assert merged["test"]["recall@20"] == pytest.approx(np.mean(values))
    assert merged["test"]["std"]["recall@20"] == pytest.approx(np.std(values, ddof=1))
    best = int(np.argmax([run["valid"]["recall@20"] for run in each]))
    assert (merged["seeds"], merged["best_seed"]) == ([0, 1], best)
    for name in ("saved_model/saved_model.pb", "vocabulary/items.txt"):
        chosen = (several / f"seed_{best}" / name).read_bytes()
        assert (several / name).read_bytes() == chosen


@pytest.mark.slow
def test_modes_on_several_seeds(several, config, capsys):
    before = (several / "metrics.json").read_bytes()
    experiment.evaluate(several)
    assert (several / "metrics.json").read_bytes() == before
    overrides = {"export.k": 4, "export.formats": ("saved_model",)}
    experiment.export(several, None, overrides)
    served = _served(several / "saved_model", [5])
    assert served["item_ids"].shape == (1, 4)
    user = (several / "vocabulary" / "users.txt").read_text().split("\n")[5]
    answer = experiment.recommend(several, [user], 4)
    items = (several / "vocabulary" / "items.txt").read_text().split("\n")
    assert list(answer.item) == [items[i] for i in served["item_ids"][0]]
    config.seeds = (0, 1, 2)
    with pytest.raises(UserError, match="`seeds` was"):
        experiment.train(config, several, resume=True)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("k", 0, "`export.k` must be at least 1"),
        ("formats", ("onnx",), "`export.formats` must be some of"),
        ("formats", ("saved_model_factored",), "Received: model.name=mf"),
    ],
)
def test_a_wrong_export_is_told_before_training(
    config, tmp_path, monkeypatch, key, value, rule
):
    monkeypatch.setattr(keras.Model, "fit", _kill)
    config.export[key] = value
    with pytest.raises(UserError, match=rule):
        experiment.train(config, tmp_path / "run")


def test_a_refused_run_does_not_stand_in_the_way(config, tmp_path):
    """Its correction needs no --overwrite: there is nothing to lose."""
    folder = tmp_path / "run"
    config.train.epochs = 1
    config.train.negatives, negatives = 10**6, config.train.negatives
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="negatives"):
        experiment.train(config, folder)
    assert [each.name for each in folder.iterdir()] == ["mine.txt"]
    config.train.negatives = negatives
    experiment.train(config, folder)
    assert (folder / "report.html").exists()


def test_what_was_trained_is_kept_whatever_is_refused_later(
    config, tmp_path, monkeypatch
):
    def refuse(*_):
        raise UserError("No.")

    config.train.epochs = 1
    monkeypatch.setattr(experiment, "_evaluate", refuse)
    with pytest.raises(UserError, match="No"):
        experiment.train(config, tmp_path)
    assert (tmp_path / "config.json").exists()
    assert list(tmp_path.glob("checkpoints/select/step-*"))


def test_files_are_not_measured_where_that_is_off(config, tmp_path):
    config.train.epochs = 1
    config.export.evaluate = False
    experiment.train(config, tmp_path / "run")
    assert _json(tmp_path / "run" / "cost.json")["files_metrics"] == {}
