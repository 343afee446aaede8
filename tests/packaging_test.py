"""What the wheel holds, read from the project's own files.

`.ci/run` builds the wheel and runs the main job from an empty folder.
"""

import configparser
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def project():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


def test_every_package_is_in_the_wheel(setup):
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "dsl_tf").rglob("__init__.py")
    }
    configs = {
        ".".join(("dsl_tf", *path.parent.relative_to(ROOT).parts))
        for path in (ROOT / "configs").rglob("__init__.py")
    }
    assert configs == {"dsl_tf.configs", "dsl_tf.configs.studies"}
    listed = set(setup["options"]["packages"].split())
    assert listed == folders | configs


def test_every_file_that_is_no_module_is_in_the_wheel(setup):
    patterns = {
        ROOT.joinpath(*package.split("."), pattern)
        for package, value in setup["options.package_data"].items()
        for pattern in value.split()
    }
    for path in (ROOT / "dsl_tf").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert any(path.match(str(pattern)) for pattern in patterns), path


def test_setup_cfg_is_package_discovery_only(setup):
    assert setup.sections() == ["options", "options.package_data"]
    assert set(setup["options"]) == {"packages", "package_dir"}


def test_tensorflow_and_tf_keras_are_pinned_to_one_minor(project):
    from dsl_tf import environment

    major, minor = environment.MINOR
    pin = f">={major}.{minor},<{major}.{minor + 1}"
    assert f"tensorflow{pin}" in project["dependencies"]
    assert f"tf_keras{pin}" in project["dependencies"]


def test_nothing_asks_for_scann(project):
    extras = [x for each in project["optional-dependencies"].values() for x in each]
    assert not [x for x in project["dependencies"] + extras if "scann" in x]


def test_readme_and_pyproject_name_the_same_pythons(project):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    oldest, newest = re.search(r"Python (3\.\d+) to (3\.\d+)", readme).groups()
    next_minor = int(newest.split(".")[1]) + 1
    assert project["requires-python"] == f">={oldest},<3.{next_minor}"


def test_ci_runs_the_test_command_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "pip install -e '.[test]' && python -m pytest" in readme
    assert "README.md" in script
