import pytest

from dsl_tf import config_files
from dsl_tf.errors import UserError

CONFIG = """
from ml_collections import config_dict

def get_config(data="demo"):
    config = config_dict.ConfigDict()
    config.seeds = (0,)
    config.rates = (0.1,)
    config.words = ("a", "b")
    config.section = config_dict.ConfigDict()
    config.section.count = 3
    config.section.share = 0.5
    config.section.flag = False
    config.section.name = data
    return config
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CONFIG)
    return path


def _fails(call, *arguments):
    with pytest.raises(UserError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["configs/neumf.py", "neumf.py"])
def test_find_falls_back_to_the_package(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = config_files.find(name)
    assert found.name == "neumf.py"
    assert config_files.load(found).model.name == "neumf"


def test_find_prefers_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "configs" / "neumf.py"
    own.parent.mkdir()
    own.write_text(CONFIG)
    assert config_files.find("configs/neumf.py").resolve() == own.resolve()


def test_find_lists_what_there_is():
    message = _fails(config_files.find, "elsewhere/neumf.py")
    assert "configs/neumf.py" in message
    assert "base.py" not in message


def test_load_passes_the_data(path):
    assert config_files.load(path).section.name == "demo"
    assert config_files.load(path, "ml-1m").section.name == "ml-1m"
    assert config_files.takes_data(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def get_config(:\n", ", line 1: "),
        ("import nothing_of_this_name\n", ", line 1: ModuleNotFoundError"),
        ("def get_config():\n    return 1 / 0\n", ", line 2: ZeroDivisionError"),
        ("def get_config():\n    return {}\n", "must return an ml_collections"),
        ("get_config = 3\n", "must define get_config()"),
    ],
)
def test_load_says_what_is_wrong_and_where(text, expected, tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text(text)
    message = _fails(config_files.load, path)
    assert str(path) in message
    assert expected in message


def test_load_refuses_data_that_nobody_takes(tmp_path):
    path = tmp_path / "plain.py"
    path.write_text(CONFIG.replace('data="demo"', "").replace("= data", "= ''"))
    assert "takes no :DATA" in _fails(config_files.load, path, "ml-1m")
    assert not config_files.takes_data(path)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--config.section.count=4"], {"section.count": 4}),
        (["--config.section.count", "4"], {"section.count": 4}),
        (["--config.section.share=1"], {"section.share": 1.0}),
        (["--config.section.flag"], {"section.flag": True}),
        (["--config.section.flag=true"], {"section.flag": True}),
        (["--noconfig.section.flag"], {"section.flag": False}),
        (["--config.section.name=5"], {"section.name": "5"}),
        (["--config.seeds=0,1,2"], {"seeds": (0, 1, 2)}),
        (["--config.seeds=(3,)"], {"seeds": (3,)}),
        (["--config.seeds=7"], {"seeds": (7,)}),
        (["--config.rates=1,0.5"], {"rates": (1.0, 0.5)}),
        (["--config.words=a,c"], {"words": ("a", "c")}),
        (["--config.words=('x','y')"], {"words": ("x", "y")}),
    ],
)
def test_override(arguments, expected, path):
    config = config_files.load(path)
    changed = config_files.override(config, arguments)
    assert changed == expected
    flat = config_files.flatten(config)
    for key, value in expected.items():
        assert flat[key] == value
        assert type(flat[key]) is type(value)
    assert config.is_locked


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--config.section.cuont=4", "`section.cuont`. Did you mean section.count?"),
        ("--config.count=4", "Did you mean section.count?"),
        ("--config.secton.count=4", "Did you mean section.count?"),
        ("--config.section.zzz=4", "Known: section.count, section.flag, section.name"),
        ("--config.zzz.zzz=4", "Known: rates, section, seeds, words."),
        ("--config.zzz=4", "Known: rates, section, seeds, words."),
        ("--config.=4", "has no key ``"),
        ("--config.section=4", "`config.section` is a section"),
        ("--config.section.count=x", "must be an integer. Received: x"),
        ("--config.section.count=1.5", "must be an integer. Received: 1.5"),
        ("--config.section.share=x", "must be a number. Received: x"),
        ("--config.section.flag=perhaps", "must be true or false. Received: perhaps"),
        ("--config.section.count", "Missing value"),
        ("--config.seeds=0.5", "`config.seeds` must be like (0,). Received: 0.5"),
        ("--config.seeds=a,b", "`config.seeds` must be like (0,). Received: a,b"),
        ("--config.seeds=()", "`config.seeds` must be like (0,)"),
    ],
)
def test_override_says_what_is_wrong(argument, expected, path):
    message = _fails(config_files.override, config_files.load(path), [argument])
    assert expected in message


def test_a_run_older_than_a_key_gets_its_default():
    defaults = config_files.completed({})
    assert defaults.train.epochs > 3
    recorded = defaults.to_dict()
    recorded["train"]["epochs"] = 3
    del recorded["export"], recorded["storage"], recorded["train"]["patience"]
    config = config_files.completed(recorded)
    defaults.train.epochs = 3
    assert config == defaults
