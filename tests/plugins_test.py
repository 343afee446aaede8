import sys

import pytest

from dsl_tf import config_files, plugins
from dsl_tf.errors import UserError


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "some_plugins"
    folder.mkdir()
    for name in ("__init__", "base", "_private", "ml_1m", "dense"):
        (folder / f"{name}.py").write_text(f"name = {name!r}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "some_plugins"
    for name in [name for name in sys.modules if name.startswith("some_plugins")]:
        del sys.modules[name]


def test_a_file_is_a_plugin(package, tmp_path):
    assert plugins.names(package) == ["dense", "ml-1m"]
    (tmp_path / "some_plugins" / "own.py").write_text("")
    assert plugins.names(package) == ["dense", "ml-1m", "own"]


@pytest.mark.parametrize("name", ["ml-1m", "ml_1m"])
def test_hyphens_and_underscores(package, name):
    assert plugins.find(package, name, "data set").name == "ml_1m"


@pytest.mark.parametrize("name", ["", "ml", "base", "_private", "dense.x", "../dense"])
def test_an_unknown_name_lists_those_that_exist(package, name):
    with pytest.raises(UserError, match=r"The data set must be one of dense, ml-1m\."):
        plugins.find(package, name, "data set")


def test_a_name_that_is_nearly_one_is_suggested(package):
    with pytest.raises(UserError, match=r"Did you mean ml-1m\? Received: 'ml_1n'\."):
        plugins.find(package, "ml_1n", "data set")


def test_an_error_inside_a_plugin_is_not_hidden(package, tmp_path):
    (tmp_path / "some_plugins" / "broken.py").write_text("import no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        plugins.find(package, "broken", "data set")


@pytest.mark.parametrize(
    ("folder", "some"),
    [
        ("methods", {"dense", "dsl", "random-pruning"}),
        ("backbones", {"neumf"}),
        ("data.datasets", {"demo", "ml-1m", "gowalla"}),
    ],
)
def test_our_own(folder, some):
    assert some <= set(plugins.names(f"dsl_tf.{folder}"))


def test_settings_are_those_of_the_modules():
    found = plugins.settings("dsl_tf.methods")
    assert found["lottery_ticket"] == {"share": 0.1}
    assert "dense" not in found
    for name, settings in found.items():
        module = plugins.find("dsl_tf.methods", name, "method")
        assert settings == module.SETTINGS
    config = config_files.load(config_files.find("mf.py"))
    for name, settings in found.items():
        assert config.method[name].to_dict() == settings
