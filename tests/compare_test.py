"""The command; its numbers are tested in `reports/comparison_test.py`."""

import json
import pathlib

import numpy as np
import pandas as pd
import pytest

from dsl_tf import compare


@pytest.fixture
def runs(tmp_path) -> list[str]:
    """Two runs of three users; every user gains 0.25 from the first to the second."""
    return [
        _write(tmp_path / "first", [0.0, 0.25, 0.5]),
        _write(tmp_path / "second", [0.25, 0.5, 0.75]),
    ]


def _write(folder: pathlib.Path, recall: list[float]) -> str:
    folder.mkdir()
    mean = {"recall@20": sum(recall) / 3}
    training = ("seconds", "state_bytes", "peak_rss_bytes", "base_rss_bytes")
    contents = {
        "config.json": {
            "config": {
                "model": {"name": "neumf"},
                "method": {"name": "dense"},
                "evaluation": {"cutoffs": [20]},
            },
            "data": {"name": "<toy>", "fingerprint": "ab" * 32},
        },
        "metrics.json": {
            "protocol": "full_ranking",
            "refit": False,
            "test": mean,
            "users": 3,
        },
        "cost.json": {
            "sparsity": 0.0,
            "parameters": 10,
            "nonzeros": 10,
            "training": dict.fromkeys(training, 1000),
            "files": {"model.tflite": 4096},
        },
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "history.csv").write_text("epoch,loss\n1,0.5\n")
    users = np.arange(3, dtype=np.int32)
    np.savez(folder / "per_user.npz", users=users, **{"recall@20": np.array(recall)})
    return str(folder)


def test_prints_and_writes_the_comparison(runs, tmp_path, capsys):
    table, page = tmp_path / "table.csv", tmp_path / "page.html"
    assert compare.main(["compare", *runs, f"--csv={table}", f"--html={page}"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["second", "0", "%", "0.5000", "-", "+0.2500"] in [li[:6] for li in lines]

    frame = pd.read_csv(table)
    assert list(frame["run"]) == ["first", "second"]
    assert list(frame["recall@20"]) == [0.25, 0.5]
    assert frame.loc[1, "recall@20_difference"] == 0.25
    assert list(frame["model.tflite_bytes"]) == [4096, 4096]

    text = page.read_text("utf-8")
    assert "+0.2500" in text
    assert "2 runs on &lt;toy&gt;" in text
    assert "<toy>" not in text


def test_flags_may_stand_between_folders(runs, capsys):
    assert compare.main(["compare", runs[0], "--metric=recall@20", runs[1]]) == 0
    assert "+0.2500" in capsys.readouterr().out


def test_help_names_the_flags(capsys):
    assert compare.main(["compare", "--help"]) == 0
    printed = capsys.readouterr().out
    for flag in ("--csv", "--html", "--metric"):
        assert flag in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least two run folders. Received: none"),
        (["{0}"], "at least two run folders. Received: {0}"),
        (["{0}", "{0}-missing"], "A run folder must exist"),
        (["{0}", "{0}/.."], "without metrics.json"),
        (["{0}", "{1}", "--metric=map@20"], "one of recall@20. Received: 'map@20'"),
        (["{0}", "{1}", "--cvs=x"], "Unknown command line flag 'cvs'"),
        (["{0}", "{1}", "--csv={0}"], "must be writable"),
        (["{0}", "{1}", "--html={0}/no/page.html"], "must be writable"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(runs, capsys, arguments, message):
    arguments = [argument.format(*runs) for argument in arguments]
    assert compare.main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert message.format(*runs) in error
    assert error.startswith("Error: ")
    assert error.count("\n") == 1


def test_unlike_runs_are_refused(runs, capsys):
    file = pathlib.Path(runs[1], "metrics.json")
    file.write_text(file.read_text().replace("full_ranking", "leave_one_out_sampled"))
    assert compare.main(["compare", *runs]) == 2
    captured = capsys.readouterr()
    assert "same protocol" in captured.err
    assert "leave_one_out_sampled" in captured.err
    assert captured.out == ""
