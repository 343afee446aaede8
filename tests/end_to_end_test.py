"""The command itself, killed in several ways."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf import main

SETTINGS = {
    "model.gmf_dim": 8,
    "model.mlp_dim": 8,
    "model.mlp_layers": "(16,8)",
    "model.dropout": 0.1,
    "sparsity.update_interval": 20,
    "train.epochs": 3,
    "train.batch_size": 256,
    "train.learning_rate": 0.01,
    "train.checkpoint_minutes": 0.0005,
    "export.formats": "saved_model",
}


def _command(folder, csv, *arguments):
    keys = [f"--config.{key}={value}" for key, value in SETTINGS.items()]
    return [
        *(sys.executable, "-m", "dsl_tf.main", "--config=configs/neumf.py"),
        *(f"--config.data.path={csv}", f"--output_dir={folder}", *keys, *arguments),
    ]


def _run(folder, csv, *arguments):
    result = subprocess.run(
        _command(folder, csv, *arguments), capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def _interrupt(folder, csv, number, ready, *arguments):
    """Sends a signal as soon as `ready()`; returns exit code and stderr."""
    process = subprocess.Popen(
        _command(folder, csv, *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while not ready():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def _step(folder):
    """Steps done at the newest checkpoint."""
    names = (
        os.listdir(folder / "checkpoints" / "select")
        if (folder / "checkpoints" / "select").is_dir()
        else []
    )
    steps = [int(name[5:]) for name in names if name.startswith("step-")]
    return max(steps, default=0)


def _assert_same(folder, expected):
    """Bit for bit: metrics, losses, served and best weights, masks."""
    for name in ("metrics.json", "vocabulary/items.txt"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()
    for name in ("saved_model/variables/variables", "checkpoints/select/best"):
        ours, theirs = (_tensors(run, name) for run in (folder, expected))
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            np.testing.assert_array_equal(ours[key], value)
    columns = [_untimed(run) for run in (folder, expected)]
    assert columns[0] == columns[1]


def _tensors(folder, name):
    if name.endswith("best"):
        (name,) = (folder / "checkpoints" / "select").glob("best-*")
        name = name / "tensors"
    reader = tf.train.load_checkpoint(str(folder / name))
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if "OBJECT_GRAPH" not in n}


def _untimed(folder):
    lines = (folder / "history.csv").read_text().splitlines()
    header = lines[0].split(",")
    timed = ("seconds", "validation_seconds", "positives_per_second")
    kept = [i for i, name in enumerate(header) if name not in timed]
    return [[line.split(",")[i] for i in kept] for line in lines]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, small_csv):
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    keys = [*_command(folder, small_csv)[3:], "--config.train.checkpoint_minutes=99"]
    assert main.main(["main", *keys]) == 0
    return folder


@pytest.mark.slow
def test_killed_in_mid_epoch(tmp_path, small_csv, uninterrupted):
    """An epoch has 52 steps, an interval 20: step 75 is in the middle of both."""
    folder = tmp_path / "run"
    code, _ = _interrupt(folder, small_csv, signal.SIGKILL, lambda: _step(folder) >= 75)
    assert code == -signal.SIGKILL
    assert 75 <= _step(folder) < 156
    before = _state(folder)
    assert not (folder / "history.csv").exists()
    printed = _run(folder, small_csv, "--resume")
    assert "Going on after step" in printed
    _assert_same(folder, uninterrupted)
    training = json.loads((folder / "cost.json").read_text())["training"]
    assert training["steps"] == 156
    assert training["seconds"] > before["seconds"] > 0
    assert training["peak_rss_bytes"] >= before["peak_rss_bytes"]


def _state(folder):
    (file,) = (folder / "checkpoints" / "select").glob("step-*/state.json")
    return json.loads(file.read_text())


@pytest.mark.slow
def test_ctrl_c(tmp_path, small_csv, uninterrupted):
    folder = tmp_path / "run"
    code, errors = _interrupt(
        folder, small_csv, signal.SIGINT, lambda: _step(folder) >= 60
    )
    assert code == 130
    (line,) = errors.strip().splitlines()
    assert line.startswith("Stopped. Go on with: python -m dsl_tf.main --config=")
    assert line.endswith("--resume")
    stopped = _step(folder)
    assert stopped % 52 != 0
    _run(folder, small_csv, "--resume")
    _assert_same(folder, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("after", ["per_user.npz", "metrics.json"])
def test_killed_in_evaluation_or_export(tmp_path, small_csv, uninterrupted, after):
    folder = tmp_path / "run"
    _interrupt(folder, small_csv, signal.SIGKILL, (folder / after).exists)
    assert not (folder / "report.html").exists()
    printed = _run(folder, small_csv, "--resume")
    assert "epoch" not in printed.partition("protocol")[0]  # not a step was taken
    _assert_same(folder, uninterrupted)
    printed = _run(folder, small_csv, "--resume")
    assert "recall@20" in printed


@pytest.mark.slow
def test_killed_before_the_first_checkpoint(tmp_path, small_csv, uninterrupted):
    folder = tmp_path / "run"
    _interrupt(folder, small_csv, signal.SIGKILL, (folder / "config.json").exists)
    assert _step(folder) == 0
    _run(folder, small_csv, "--resume")
    _assert_same(folder, uninterrupted)


@pytest.mark.slow
def test_the_other_modes(tmp_path, uninterrupted):
    def call(*arguments):
        command = [sys.executable, "-m", "dsl_tf.main", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    where = f"--output_dir={uninterrupted}"
    before = (uninterrupted / "metrics.json").read_bytes()
    evaluated = call("--mode=evaluate", where)
    assert evaluated.returncode == 0, evaluated.stderr
    assert (uninterrupted / "metrics.json").read_bytes() == before
    output = tmp_path / "all.parquet"
    asked = call(
        "--mode=recommend", where, "--users=all", "--k=3", f"--output={output}"
    )
    assert asked.returncode == 0, asked.stderr
    assert output.stat().st_size > 0
    unknown = call("--mode=recommend", where, "--user=nobody")
    assert unknown.returncode == 2
    assert unknown.stderr.strip().splitlines()[-1].startswith("Error: `--user` must be")
    again = call("--config=configs/neumf.py", where)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


@pytest.mark.slow
@pytest.mark.realdata
def test_ncf_files_by_their_own_protocol(tmp_path, data_root):
    folder = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "dsl_tf.main", "--config=configs/neumf.py:ml-1m-ncf"),
        *("--config.method.name=dense", "--config.train.epochs=1"),
        "--config.evaluation.protocol=leave_one_out_sampled",
        *("--config.evaluation.cutoffs=(10,)", "--config.export.formats=saved_model"),
        f"--output_dir={folder}",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["protocol"] == "leave_one_out_sampled"
    assert metrics["users"] == 6040
    # One epoch: above popularity (.45), below the published .70.
    assert 0.4 < metrics["test"]["hit@10"] < 0.7
    assert 0.4 < metrics["valid"]["hit@10"] < 0.8
    assert pathlib.Path(folder / "report.html").exists()


@pytest.mark.slow
@pytest.mark.realdata
def test_neumf_on_movielens_measures_the_same_in_both_storages(data_root, tmp_path):
    settings = {**SETTINGS, "train.epochs": 1, "train.batch_size": 4096}
    found = []
    for storage in ("packed", "masked"):
        keys = {**settings, "storage": storage, "data.root": data_root}
        folder = tmp_path / storage
        arguments = [f"--config.{key}={value}" for key, value in keys.items()]
        config = "--config=configs/neumf.py:ml-1m"
        assert main.main(["main", config, f"--output_dir={folder}", *arguments]) == 0
        found.append(
            [(folder / name).read_bytes() for name in ("metrics.json", "per_user.npz")]
        )
    assert found[0] == found[1]
