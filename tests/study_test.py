"""Cells are run, each in a process of its own, as a user does it."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from dsl_tf import data, locks, provenance, study
from dsl_tf.studies import grid, plan
from dsl_tf.studies.cells import Place
from dsl_tf.tuning.best import Best
from tests.reports.conftest import write_run  # noqa: F401, a fixture

STUDY = """
from dsl_tf.studies.plan import Study
from dsl_tf.studies.tables import Table

def get_config(size="full"):
    methods = ("popularity", "quantised", "dense")
    return Study(
        title="Three methods",
        question="Which of them is there?",
        grid=({{"config": "configs/mf.py:own", "method.name": methods}},),
        keys={{
            "data.path": {path!r},
            "method.quantised.bits": 3,  # which there are not
            "train.epochs": 1 if size == "quick" else 1000,
            "train.patience": 0,
            "export.formats": (),
        }},
        exhibits=(Table("three", "Three.", rows=("method",)),),
    )
"""


@pytest.fixture(scope="module")
def config(small_csv, tmp_path_factory):
    file = tmp_path_factory.mktemp("config") / "three.py"
    file.write_text(STUDY.format(path=str(small_csv)))
    return file


def _run(capsys, *arguments):
    code = study.main(["study", *arguments])
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.mark.slow
def test_one_failure_does_not_stop_the_others(config, tmp_path, capsys):
    root = tmp_path / "out"
    arguments = [f"--config={config}:quick", f"--output_dir={root}"]
    code, said = _run(capsys, *arguments)
    assert code == 1
    results = pd.read_csv(root / "results.csv").set_index("method")
    assert list(results["status"]) == ["done", "failed", "done"]
    assert results["recall@20"].notna().sum() == 2
    assert "method.quantised.bits" in results["error"]["quantised"]
    assert results["error"]["quantised"] in said
    assert "2 of 3 done, 1 failed" in said
    assert "method.quantised.bits" in (root / "index.html").read_text()
    # Once more: what is done stays, what failed is tried again.
    reports = list(root.glob("cells/*/report.html"))
    before = [report.stat().st_mtime_ns for report in reports]
    code, said = _run(capsys, *arguments)
    assert code == 1
    assert said.count("begun") + said.count("again") == 1
    assert [report.stat().st_mtime_ns for report in reports] == before


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_what_is_stopped_keeps_what_was_done(config, tmp_path, how):
    root = tmp_path / "out"
    command = [sys.executable, "-m", "dsl_tf.study", f"--config={config}:full"]
    command += [f"--output_dir={root}", "--only=*dense*"]
    log = root / "cells" / "mf-own-dense-seed0.log"
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C counts, where the tests themselves run in the background, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        # Some time, on a machine however busy.
        while not (log.exists() and re.search(r"epoch +3/", log.read_text())):
            assert process.poll() is None
            time.sleep(0.2)
        os.kill(process.pid, how)
        _, said = process.communicate(timeout=90)
    assert process.returncode == 130
    assert "The same command goes on" in said
    assert "Traceback" not in said
    results = pd.read_csv(root / "results.csv")
    assert results.set_index("method")["status"]["dense"] == "begun"
    # It was allowed to write a checkpoint.
    assert list(root.glob("cells/*/checkpoints/select/step-*"))


def _begun(command, log, after=""):
    """A study's process, once its cell has trained an epoch `after` this in its log."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wanted = re.compile(rf"{after}.*epoch +\d+/", re.DOTALL)
    while not (log.exists() and wanted.search(log.read_text())):
        assert process.poll() is None
        time.sleep(0.2)
    return process


@pytest.mark.slow
def test_a_killed_study_goes_on_and_its_cell_never_runs_twice(config, tmp_path):
    root = tmp_path / "out"
    command = [sys.executable, "-m", "dsl_tf.study", f"--config={config}:full"]
    command += [f"--output_dir={root}", "--only=*dense*"]
    folder = root / "cells" / "mf-own-dense-seed0"
    log = folder.with_suffix(".log")
    with _begun(command, log) as first:
        # Neither a second study nor a run comes between.
        evaluate = [sys.executable, "-m", "dsl_tf.main", "--mode=evaluate"]
        for refused in (command, [*evaluate, f"--output_dir={folder}"]):
            said = subprocess.run(refused, capture_output=True, text=True, check=False)
            assert said.returncode == 2
            assert "One process at a time may write to a folder" in said.stderr
            assert said.stderr.count("\n") == 1
        first.kill()
    # At once: the first one may not have written its checkpoint yet.
    with _begun(command, log, after=r"Stopped\.") as second:
        os.kill(second.pid, signal.SIGTERM)
        second.communicate(timeout=90)
    assert "One process at a time" not in log.read_text()
    assert not folder.with_suffix(".failed.json").exists()
    with locks.held(folder):  # nobody is left
        pass


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "read"), [([], 1), (["--noshare_passes"], 0)])
def test_a_pass_that_cells_take_alike_is_trained_once(
    config, tmp_path, capsys, flags, read
):
    arguments = [f"--config={config}:quick", f"--output_dir={tmp_path}"]
    arguments += ["--only=*dense*,*quantised*", "--set=method.quantised.bits=8"]
    code, _ = _run(capsys, *arguments, *flags)
    assert code == 0
    results = pd.read_csv(tmp_path / "results.csv")
    seconds = results["cost.training.seconds_of_other_runs"].dropna()
    assert len(seconds) == 2
    assert (seconds > 0).sum() == read


def test_a_folder_that_cannot_be_made(config, tmp_path, capsys):
    (tmp_path / "file").touch()
    arguments = [f"--config={config}:quick", f"--output_dir={tmp_path / 'file' / 'x'}"]
    code, said = _run(capsys, *arguments)
    assert code == 2
    assert "Error: A file stands where a folder is needed" in said
    assert "Traceback" not in said


def test_a_dry_run_runs_nothing(config, tmp_path, capsys):
    root = tmp_path / "out"
    code, said = _run(
        capsys, f"--config={config}:quick", f"--output_dir={root}", "--dry_run"
    )
    assert code == 0
    assert not root.exists()
    assert "mf-own-dense-seed0" in said
    assert "1 of 3 would fail: `method.quantised.bits` must be one of" in said
    assert "mf-own-quantised-seed0" in said
    assert "minutes are left" in said


def test_runs_of_another_study_are_taken(config, tmp_path, capsys, write_run):  # noqa: F811
    other = tmp_path / "studies" / "other"
    cells = grid.cells(plan.read(f"{config}:quick")[1])
    split = data.load_split(cells[0].config.data).fingerprint()
    for cell in cells:
        folder = Place(other, cell).folder
        write_run(folder, config=cell.settings())
        (folder / "report.html").write_text("")
        settings = json.loads((folder / "config.json").read_text())
        settings["versions"] = provenance.versions()
        settings["code"] = provenance.code()
        settings["data"]["fingerprint"] = split
        (folder / "config.json").write_text(json.dumps(settings))
    root = tmp_path / "out"
    arguments = [f"--config={config}:quick", f"--output_dir={root}"]
    arguments += [f"--runs={other.parent}"]
    code, said = _run(capsys, *arguments, "--only=mf-own-dense-*", "--dry_run")
    assert code == 0
    assert "in --runs" in said
    assert "about 0 minutes are left" in said
    assert not root.exists()
    code, said = _run(capsys, *arguments)
    assert code == 0
    assert said.count("taken  mf-own-") == 3
    assert "3 of 3 cells done" in said
    assert "begun" not in said


def test_searches_are_told_with_what_they_serve(config, small_csv, tmp_path, capsys):
    fixed = {"data.path": str(small_csv)}
    for name, method, width in (("a", "dense", 5), ("b", "dsl", 6)):
        folder = tmp_path / "tunings" / name
        folder.mkdir(parents=True)
        keys, settings = fixed | {"method.name": method}, {"model.embedding_dim": width}
        Best(folder, "configs/mf.py:own", keys, settings, 0.25, 1).write()
    root = tmp_path / "out"
    arguments = [f"--config={config}:quick", f"--output_dir={root}", "--dry_run"]
    code, said = _run(capsys, *arguments, f"--tuned={tmp_path / 'tunings'}")
    assert code == 0
    assert f"{tmp_path / 'tunings' / 'a'}: values of 1 of 3 cells.\n" in said
    assert f"{tmp_path / 'tunings' / 'b'}: values of 0 of 3 cells. It was" in said
    assert f"--config.data.path={small_csv} --config.method.name=dsl" in said
    code, said = _run(capsys, *arguments, f"--tuned={tmp_path / 'none'}")
    assert code == 2
    assert said.startswith("Error: `--tuned` must be the folder of a search")


def test_other_seeds_stay_on_the_page(config, tmp_path, capsys, write_run):  # noqa: F811
    """`--seeds=1` after `--seeds=0` took what was done off it."""
    _, three = plan.read(f"{config}:quick")
    for cell in grid.cells(three, (), (0, 1, 12)):
        if "quantised" not in cell.name:
            place = Place(tmp_path / "out", cell)
            write_run(place.folder, config=cell.settings())
            (place.folder / "report.html").write_text("")
    arguments = [f"--config={config}:quick", f"--output_dir={tmp_path / 'out'}"]
    only = "--only=*-dense-*,*-popularity-*"
    code, said = _run(capsys, *arguments, "--seeds=1", only)
    assert code == 0
    assert "2 of 2 cells done" in said
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    done = results[results["status"] == "done"]
    assert sorted(done["seed"]) == [0, 0, 1, 1, 12, 12]
    assert list(results[results["status"] != "done"]["seed"]) == [1]
    # Nor does the command without `--seeds` take off what others were run with it.
    code, said = _run(capsys, *arguments, "--only=*-dense-*0")
    assert code == 0
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    done = results[results["status"] == "done"]
    assert sorted(done["seed"]) == [0, 0, 1, 1, 12, 12]


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ([], "needs --config"),
        (["--config=configs/studies/table9.py"], "config file must exist"),
        (["--config={}:small"], "must be one of quick, full"),
        (["--config={}:quick", "--only=*ease*"], "must match cells"),
        (["--config={}:quick", "--seeds=a"], "numbers from 0"),
        (["--config={}:quick", "--jobs=0"], "jobs"),
        (["--config={}:quick", "--no_such_flag"], "no_such_flag"),
        (["--config={}:quick", "--set=train.epoch=3"], "Did you mean train.epochs"),
        (["--config={}:quick", "--set=seeds=1,2"], "--seeds=0,1"),
        (["--config={}:quick", "--set=method.name=dsl"], "cannot be set for every"),
    ],
)
def test_a_mistake_is_one_line(config, capsys, arguments, rule):
    code, said = _run(capsys, *(each.format(config) for each in arguments))
    assert code == 2
    assert rule in said
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
