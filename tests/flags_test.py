import ast
import pathlib
import re

import pytest

from dsl_tf import flags
from dsl_tf.errors import UserError


def _parse(*arguments):
    return flags.parse(["main", *arguments])


def _fails(*arguments):
    with pytest.raises(UserError) as error:
        _parse(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_training_with_defaults():
    command = _parse("--config=configs/neumf.py")
    assert command.mode == "train"
    assert command.config.data.name == "demo"
    assert command.output_dir == pathlib.Path("saved_models/neumf-demo-dsl-0.5")
    assert not command.resume
    assert not command.overwrite
    assert command.text == "python -m dsl_tf.main --config=configs/neumf.py"


@pytest.mark.parametrize("file", sorted(pathlib.Path("configs").glob("*.py")), ids=str)
def test_commands_in_the_text_of_a_config_are_accepted(file):
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    joined = re.sub(r" \\\n +", " ", text)  # as a shell does
    assert not re.search(r"^ +--", joined, re.M), "a line without its end"
    commands = re.findall(r"^    python -m dsl_tf\.main (.+)$", joined, re.M)
    assert commands or file.stem in ("__init__", "base")
    for arguments in commands:
        command = _parse(*arguments.replace("FILE", "x.csv").split())
        assert command.config.model.name == file.stem


def test_keys_and_flags_come_in_any_order():
    command = _parse(
        "--config.train.epochs",
        "3",
        "--output_dir",
        "there",
        "--config.seeds=0,1",
        "--config=configs/neumf.py:ml-1m",
        "--resume",
        "--config.sparsity.target=0.8",
    )
    assert command.config.train.epochs == 3
    assert command.config.seeds == (0, 1)
    assert command.config.data.name == "ml-1m"
    assert command.output_dir == pathlib.Path("there")
    assert command.resume
    assert command.overrides == {
        "train.epochs": 3,
        "seeds": (0, 1),
        "sparsity.target": 0.8,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config=configs/neumf.py:gowalla"], "neumf-gowalla-dsl-0.5"),
        (
            ["--config=configs/neumf.py", "--config.method.name=dense"],
            "neumf-demo-dense-0",
        ),
        (
            ["--config=configs/neumf.py", "--config.data.path=some/shop.csv.gz"],
            "neumf-shop-dsl-0.5",
        ),
        (
            [
                "--config=configs/neumf.py",
                "--config.sparsity.target=.95",
                "--config.method.name=random_pruning",
            ],
            "neumf-demo-random_pruning-0.95",
        ),
        (
            ["--config=configs/mf.py", "--config.budget.bytes=500_000"],
            "mf-demo-dsl-500000-bytes",
        ),
    ],
)
def test_default_output_dir(arguments, expected):
    assert _parse(*arguments).output_dir == pathlib.Path("saved_models") / expected


def test_the_users_own_file_gets_the_general_values():
    general = _parse("--config=configs/neumf.py:own").config
    demo = _parse("--config=configs/neumf.py").config
    own = _parse("--config=configs/neumf.py", "--config.data.path=shop.csv").config
    assert demo.train.to_dict() != general.train.to_dict()
    assert own.train.to_dict() == general.train.to_dict()
    assert own.data.path == "shop.csv"


def test_data_by_key_is_as_data_in_the_config_argument():
    by_key = _parse("--config=configs/neumf.py", "--config.data.name=gowalla").config
    by_argument = _parse("--config=configs/neumf.py:gowalla").config
    assert by_key.to_dict() == by_argument.to_dict()


def test_tuned_values_can_be_asked_for_with_the_users_own_file():
    config = _parse(
        "--config=configs/neumf.py:gowalla", "--config.data.path=shop.csv"
    ).config
    tuned = _parse("--config=configs/neumf.py:gowalla").config
    assert config.train.to_dict() == tuned.train.to_dict()


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.json").touch()
    return tmp_path


def test_a_run_of_several_seeds_is_a_run(tmp_path):
    (tmp_path / "seed_0").mkdir()
    (tmp_path / "seed_0" / "config.json").touch()
    assert _parse("--mode=evaluate", f"--output_dir={tmp_path}").output_dir == tmp_path


def test_recommend(run):
    folder = f"--output_dir={run}"
    command = _parse("--mode=recommend", folder, "--user=a b", "--user=7", "--k=3")
    assert command.users == ["a b", "7"]
    assert command.k == 3
    assert command.config is None
    everybody = _parse(
        "--mode=recommend", folder, "--users=all", "--output=there/a.csv"
    )
    assert everybody.users is None
    assert everybody.k == 10
    assert everybody.output == pathlib.Path("there/a.csv")


def test_export(run):
    command = _parse(
        "--mode=export",
        f"--output_dir={run}",
        "--serving_dir=there",
        "--config.export.k=50",
        "--config.export.formats=tflite",
    )
    assert command.serving_dir == "there"
    assert command.overrides == {"export.k": 50, "export.formats": ("tflite",)}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "needs a config"),
        (["--outptu_dir=x"], "Did you mean: output_dir"),
        (["--mode=trian"], "trian"),
        (["--mode"], "mode"),
        (["--k=0", "--mode=recommend", "--output_dir={run}"], "0"),
        (["--config=configs/neumf.py", "stray"], "Received: stray"),
        (["--config=configs/neumf.py", "--user=3"], "belongs to --mode=recommend"),
        (["--config=configs/neumf.py", "--resume", "--overwrite"], "Only one of"),
        (["--config=configs/base.py"], "lacks model.name"),
        (["--config=nowhere.py"], "configs/neumf.py"),
        (
            ["--config=configs/mf.py", "--config.budget.bytes=-1"],
            "`budget.bytes` must be at least 0. Received: -1.",
        ),
        (
            ["--config=configs/mf.py", "--config.budget.format=tflite_int8"],
            "given too. Received: budget.format=tflite_int8, budget.bytes=0.",
        ),
        (
            [
                "--config=configs/mf.py",
                "--config.budget.bytes=9000",
                "--config.sparsity.target=.9",
            ],
            "picks `sparsity.target`: only one of the two can be given. Received: "
            "budget.bytes=9000, sparsity.target=0.9.",
        ),
        (
            ["--config=configs/mf.py", "--config.method.name=dls"],
            "The method must be one of autoemb, dense, dsl,",
        ),
        (
            ["--config=configs/mf.py", "--config.model.name=fm"],
            "The backbone must be one of cdae,",
        ),
        (["--mode=evaluate"], "needs --output_dir"),
        (
            ["--mode=evaluate", "--output_dir={run}", "--config=a.py"],
            "takes no --config",
        ),
        (["--mode=evaluate", "--output_dir=nowhere"], "Received: nowhere"),
        (["--mode=evaluate", "--output_dir=/"], "Received: /"),
        (
            ["--mode=evaluate", "--output_dir={run}", "--config.export.k=3"],
            "takes the config of the run. Received: --config.export.k=3",
        ),
        (
            ["--mode=export", "--output_dir={run}", "--config.train.epochs=3"],
            "only export.* can be changed. Received: --config.train.epochs",
        ),
        (
            ["--mode=evaluate", "--output_dir={run}", "--resume"],
            "belongs to --mode=train",
        ),
        (["--mode=recommend", "--output_dir={run}"], "--users=all"),
        (
            ["--mode=recommend", "--output_dir={run}", "--users=all", "--user=3"],
            "--users=all",
        ),
        (
            ["--mode=recommend", "--output_dir={run}", "--user=3", "--output=a.txt"],
            "must end in .csv, .parquet, .json. Received: a.txt",
        ),
    ],
)
def test_mistakes(arguments, expected, run):
    assert expected in _fails(*(each.replace("{run}", str(run)) for each in arguments))


def test_help_names_every_flag_and_key():
    text = flags.help_text()
    for expected in ("--output_dir:", "--serving_dir:", "--config.sparsity.target=0.5"):
        assert expected in text
