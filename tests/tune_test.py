"""The command, as a user calls it."""

import json

import pandas as pd
import pytest

from dsl_tf import tune


def _run(capsys, *arguments):
    code = tune.main(["tune", *arguments])
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.mark.slow
def test_a_search_goes_on_where_it_stopped(small_csv, tmp_path, capsys):
    arguments = [
        "--config=configs/mf.py",
        f"--config.data.path={small_csv}",
        "--config.train.epochs=1",
        "--config.method.name=dense",
        "--vary=train.batch_size=0,500",
        f"--output_dir={tmp_path}",
        "--sampler=random",
    ]
    code, said = _run(capsys, *arguments, "--trials=1")
    assert code == 0, said
    assert said.count("done ") == 1
    code, said = _run(capsys, *arguments, "--trials=4")
    assert code == 0, said
    assert said.count("done ") + said.count("failed ") == 3
    table = pd.read_csv(tmp_path / "trials.csv")
    assert len(table) == 4
    refused = table[table["train.batch_size"] == 0]
    assert refused["error"].str.contains("batch_size").all()
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["settings"] == {"train.batch_size": 500}
    assert best["file"] == "configs/mf.py"
    assert best["fixed"] == {
        "data.path": str(small_csv),
        "train.epochs": 1,
        "method.name": "dense",
    }
    assert "Best: python -m dsl_tf.main --config=configs/mf.py" in said


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ([], "needs --config"),
        (["--config=configs/nmf.py"], "config file must exist"),
        (["--config=configs/mf.py", "--vary=train.epochs"], r"KEY=LOW..HIGH"),
        (["--config=configs/mf.py", "--vary=train.epoch=1,2"], "Did you mean"),
        (["--config=configs/mf.py", "--config.train.epoch=1"], "Did you mean"),
        (["--config=configs/mf.py", "--sampler=best"], "sampler"),
        (
            ["--config=configs/mf.py", "--config.method.name=dls"],
            "The method must be one of autoemb, dense, dsl,",
        ),
        (["--config=configs/mf.py", "--vary=method.name=dsl,rgl"], "Received: 'rgl'"),
        (
            [
                "--config=configs/mf.py",
                "--config.budget.bytes=90000",
                "--vary=sparsity.target=0.5..0.9",
            ],
            "`budget.bytes` picks `sparsity.target`: only one of the two can be given. "
            "Received: budget.bytes=90000, sparsity.target=0.5 to 0.9.",
        ),
        (
            [
                "--config=configs/mf.py",
                "--config.sparsity.target=0.8",
                "--vary=budget.bytes=60000,90000",
            ],
            "Received: budget.bytes=60000, 90000, sparsity.target=0.8.",
        ),
        (["--config=configs/mf.py", "--trials=0"], "trials"),
        (["configs/mf.py"], "takes flags only"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, arguments, rule):
    code, said = _run(capsys, *arguments, f"--output_dir={tmp_path / 'out'}")
    assert code == 2
    assert said.startswith("Error: ")
    assert rule in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_help_says_what_it_does(capsys):
    code, said = _run(capsys, "--help")
    assert code == 0
    assert "never looked at" in said
    assert "--vary" in said
