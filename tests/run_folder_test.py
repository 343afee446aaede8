import json

import numpy as np
import pytest

from dsl_tf import config_files, provenance, results, run_folder
from dsl_tf.errors import UserError
from dsl_tf.methods import rkd


@pytest.fixture
def config(small_neumf):
    return small_neumf


@pytest.fixture
def begin(config, small_split):
    """Begins a run in a folder, as far as its `config.json`."""

    def begin(folder):
        for seed, member in zip(
            config.seeds, run_folder.members(folder, config.seeds), strict=True
        ):
            settings = results.settings(config, small_split, seed, "command")
            run_folder.record(settings, member)

    return begin


def test_members(tmp_path):
    assert run_folder.members(tmp_path, (3,)) == [tmp_path]
    expected = [tmp_path / "seed_2", tmp_path / "seed_10"]
    assert run_folder.members(tmp_path, (2, 10)) == expected


@pytest.mark.parametrize("seeds", [(), (-1,), (0, 0)])
def test_seeds_are_different_numbers(tmp_path, seeds):
    with pytest.raises(UserError, match="`seeds` must be one or more different"):
        run_folder.members(tmp_path, seeds)


def test_found_members_come_in_the_order_of_the_seeds(config, begin, tmp_path):
    assert run_folder.found_members(tmp_path) == []
    config.seeds = (2, 10)
    begin(tmp_path)
    expected = [tmp_path / "seed_2", tmp_path / "seed_10"]
    assert run_folder.found_members(tmp_path) == expected


def test_a_new_folder_needs_no_word(config, tmp_path):
    run_folder.claim(tmp_path / "a" / "b", config, resume=False, overwrite=False)
    (tmp_path / "a" / "b" / "log.txt").write_text("mine")
    for resume, overwrite in ((False, False), (True, False), (False, True)):
        run_folder.claim(tmp_path / "a" / "b", config, resume, overwrite)
    assert (tmp_path / "a" / "b" / "log.txt").read_text() == "mine"


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_a_run_needs_a_word(config, begin, tmp_path, seeds):
    config.seeds = seeds
    begin(tmp_path)
    with pytest.raises(UserError, match="--resume goes on with it or --overwrite"):
        run_folder.claim(tmp_path, config, resume=False, overwrite=False)
    run_folder.claim(tmp_path, config, resume=True, overwrite=False)
    assert run_folder.found_members(tmp_path)
    run_folder.claim(tmp_path, config, resume=False, overwrite=True)
    assert run_folder.found_members(tmp_path)  # the data may be wrong
    run_folder.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.epochs", 4, "`train.epochs` was 3. Received: 4."),
        ("seeds", (1,), r"`seeds` was \[0\]. Received: \[1\]."),
        ("seeds", (0, 1), r"`seeds` was \[0\]. Received: \[0, 1\]."),
        ("method.name", "dense", "`method.name` was 'dsl'. Received: 'dense'."),
    ],
)
def test_another_config_is_refused_by_its_key(
    config, begin, tmp_path, key, value, message
):
    begin(tmp_path)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=message):
        run_folder.claim(tmp_path, config, resume=True, overwrite=False)


def test_other_data_are_refused(config, begin, tmp_path, small_split):
    begin(tmp_path)
    settings = provenance.read(tmp_path)
    run_folder.check_fingerprint(settings, small_split, tmp_path)
    settings["data"]["fingerprint"] = "0" * 64
    with pytest.raises(UserError, match="begun with: demo, sha256 000000000000…"):
        run_folder.check_fingerprint(settings, small_split, tmp_path)
    with pytest.raises(UserError, match="the data that it was begun with"):
        run_folder.record(settings, tmp_path)


def test_overwrite_deletes_only_what_a_run_writes(config, begin, tmp_path):
    begin(tmp_path)
    kept = [tmp_path / "log.txt", tmp_path / "data" / "mine.csv", tmp_path / "seed_7"]
    for path in (*kept, tmp_path / "checkpoints" / "step-0000000001" / "state.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    for name in (".metrics.json.partial", "model.tflite", "report.html"):
        (tmp_path / name).write_text("text")
    run_folder.claim(tmp_path, config, resume=False, overwrite=True)
    run_folder.clear(tmp_path)
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert files == set(kept)


@pytest.mark.parametrize(
    "name", ["figures/mine.png", "report.html", "seed_1/history.csv"]
)
@pytest.mark.parametrize("word", ["", "resume", "overwrite"])
def test_what_looks_like_a_runs_but_is_not_is_left_alone(config, tmp_path, name, word):
    """A refused run deleted it; a report was taken for that of a finished run."""
    config.seeds = (0, 1)
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(UserError, match=f"must hold a run, or nothing .*{name[:6]}"):
        run_folder.claim(tmp_path, config, word == "resume", word == "overwrite")
    assert mine.read_text() == "mine"


def test_what_is_left_of_a_run_that_was_being_deleted_is_still_a_run(
    config, begin, tmp_path, monkeypatch
):
    """Its checkpoints would have been those of the next."""
    begin(tmp_path)
    (tmp_path / "checkpoints" / "select" / "step-1").mkdir(parents=True)

    def stopped(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_folder.shutil, "rmtree", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_folder.clear(tmp_path)
    with pytest.raises(UserError, match="--overwrite deletes it"):
        run_folder.claim(tmp_path, config, resume=False, overwrite=False)


@pytest.mark.parametrize("text", ['{"model_type": "bert"}', "[1]", "no json", '"text"'])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_config_json_of_something_else_is_left_alone(
    config, tmp_path, text, overwrite
):
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "model.tflite").write_text("theirs")
    with pytest.raises(UserError, match="must be that of a run"):
        run_folder.claim(tmp_path, config, resume=not overwrite, overwrite=overwrite)
    assert (tmp_path / "model.tflite").read_text() == "theirs"


@pytest.fixture
def check(config, small_split):
    """Checks whether a student of a config may learn from what is in a folder."""

    def check(folder, config=config, split=small_split):
        config = config.copy_and_resolve_references()
        config.method.rkd.teacher = str(folder)
        run_folder.check_teacher(config, rkd, split)

    return check


def test_a_teacher_is_dense_and_of_the_same_data(
    config, begin, check, small_split, tmp_path
):
    begin(tmp_path / "dsl")
    with pytest.raises(UserError, match=r"method\.name=dense. Received: dsl"):
        check(tmp_path / "dsl")
    config.method.name = "dense"
    begin(tmp_path / "dense")
    check(tmp_path / "dense")
    # It has been trained on what would be the test set.
    with pytest.raises(UserError, match="must be trained on the same split"):
        check(tmp_path / "dense", split=small_split.with_validation())
    with pytest.raises(UserError, match="A run must be in the folder"):
        check(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_layers", 1), ("similarity", "cosine"), ("temperature", 0.2)],
)
def test_a_teacher_whose_tables_score_otherwise_is_refused(
    config, begin, check, tmp_path, key, value
):
    """It was rebuilt with the student's settings: another model."""
    student = config_files.load(config_files.find("lightgcn.py"), "own")
    config.model = student.model.copy_and_resolve_references()
    config.method.name = "dense"
    config.model.regularization *= 2  # of training alone
    begin(tmp_path / "like")
    check(tmp_path / "like", student)
    config.model[key] = value
    begin(tmp_path / "other")
    with pytest.raises(UserError, match=rf"model\.{key}=.* Received: {value} in"):
        check(tmp_path / "other", student)
    config.model.name = "mf"
    begin(tmp_path / "mf")
    with pytest.raises(UserError, match=r"model\.name=lightgcn. Received: mf in"):
        check(tmp_path / "mf", student)


def test_record_keeps_what_was_there(begin, config, small_split, tmp_path):
    begin(tmp_path)
    settings = results.settings(config, small_split, 0, "another command")
    run_folder.record(settings, tmp_path)
    assert provenance.read(tmp_path)["command"] == "command"
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["config"]["model"]["mlp_layers"] == [16, 8]
    assert written["data"]["fingerprint"] == small_split.fingerprint()
    assert written["seed"] == 0
    assert np.all([name in written["versions"] for name in ("tensorflow", "numpy")])


def test_settings_of_other_methods_may_change(config, begin, tmp_path):
    """A study that sets one method's for all cells could not go on with the others."""
    begin(tmp_path)
    config.method.lottery_ticket.share = 0.5
    run_folder.claim(tmp_path, config, resume=True, overwrite=False)
    config.method.name = "lottery_ticket"
    with pytest.raises(UserError, match=r"`method\.name` was 'dsl'"):
        run_folder.claim(tmp_path, config, resume=True, overwrite=False)
