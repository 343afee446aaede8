import errno
import subprocess
import sys
import types
from pathlib import Path

import pandas as pd
import pytest

import dsl_tf
from dsl_tf import main
from dsl_tf.errors import UserError


class _Experiment(types.ModuleType):
    """Stands for `dsl_tf.experiment`: keeps what it is called with."""

    def __init__(self):
        super().__init__("dsl_tf.experiment")
        self.calls = []
        self.raises = None

    def _record(self, *call):
        self.calls.append(call)
        if self.raises:
            raise self.raises

    def train(self, config, output_dir, *, resume, overwrite, command, shared_passes):
        how = (resume, overwrite, shared_passes)
        self._record("train", config.data.name, str(output_dir), *how)

    def evaluate(self, output_dir):
        self._record("evaluate", str(output_dir))

    def export(self, output_dir, serving_dir, overrides):
        self._record("export", str(output_dir), serving_dir, overrides)

    def recommend(self, output_dir, users, k):
        self._record("recommend", str(output_dir), users, k)
        return pd.DataFrame({"user": ["u"], "rank": [1], "item": ["i"], "score": [0.5]})


@pytest.fixture
def experiment(monkeypatch):
    fake = _Experiment()
    monkeypatch.setitem(sys.modules, "dsl_tf.experiment", fake)
    monkeypatch.setattr(dsl_tf, "experiment", fake, raising=False)
    return fake


TRAIN = ["main", "--config=configs/neumf.py", "--output_dir=there"]


def test_train(experiment):
    assert main.main([*TRAIN, "--resume"]) == 0
    assert main.main([*TRAIN, "--shared_passes=passes"]) == 0
    assert experiment.calls == [
        ("train", "demo", "there", True, False, None),
        ("train", "demo", "there", False, False, Path("passes")),
    ]


def test_other_modes(experiment, tmp_path, capsys):
    folder = str(tmp_path)
    (tmp_path / "config.json").touch()
    assert main.main(["main", "--mode=evaluate", f"--output_dir={folder}"]) == 0
    assert main.main(["main", "--mode=export", f"--output_dir={folder}"]) == 0
    answers = tmp_path / "answers.csv"
    ask = ["main", "--mode=recommend", f"--output_dir={folder}", "--user=u", "--k=1"]
    assert main.main([*ask, f"--output={answers}"]) == 0
    assert experiment.calls == [
        ("evaluate", folder),
        ("export", folder, None, {}),
        ("recommend", folder, ["u"], 1),
    ]
    assert answers.read_text() == "user,rank,item,score\nu,1,i,0.5\n"


def test_a_full_disk_tells_how_to_go_on(experiment, capsys, tmp_path):
    experiment.raises = OSError(errno.ENOSPC, "No space left", "a/b")
    folder = f"--output_dir={tmp_path}"
    main.main(["main", "--config=configs/neumf.py", folder, "--overwrite"])
    assert capsys.readouterr().err == (
        "Error: The disk is full: a/b. Go on with: python -m dsl_tf.main "
        f"--config=configs/neumf.py {folder} --resume\n"
    )


def test_ctrl_c_tells_how_to_go_on(experiment, capsys, tmp_path):
    experiment.raises = KeyboardInterrupt()
    folder = f"--output_dir={tmp_path}"
    assert main.main([*TRAIN, folder, "--config.data.path=a b.csv"]) == 130
    assert capsys.readouterr().err == (
        "\nStopped. Go on with: python -m dsl_tf.main --config=configs/neumf.py "
        f"--output_dir=there {folder} '--config.data.path=a b.csv' --resume\n"
    )


def test_there_is_nothing_to_go_on_with(experiment, capsys, tmp_path):
    experiment.raises = KeyboardInterrupt()
    assert main.main([*TRAIN, f"--output_dir={tmp_path / 'not_yet'}"]) == 130
    assert capsys.readouterr().err == "\nStopped.\n"


def test_a_mistake_is_one_line(experiment, capsys):
    experiment.raises = UserError("The rule.\nReceived: 3.")
    assert main.main(TRAIN) == 2
    assert capsys.readouterr().err == "Error: The rule. Received: 3.\n"


def test_help_and_mistakes_come_before_tensorflow():
    code = (
        "import sys; from dsl_tf import main\n"
        "assert main.main(['main', '--help']) == 0\n"
        "assert main.main(['main', '--config=configs/neumf.py', '--config.x=3']) == 2\n"
        "assert not {'tensorflow', 'pandas'} & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert "--config.train.epochs" in result.stdout
    assert result.stderr.startswith("Error: The config has no key `x`.")
    assert result.stderr.count("\n") == 1


def test_exit_code_of_the_command():
    result = subprocess.run(
        [sys.executable, "-m", "dsl_tf.main", "--mode=nothing"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
