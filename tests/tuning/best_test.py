"""The best values of searches, and which runs they are for."""

import json

import pytest

from dsl_tf import config_files
from dsl_tf.errors import UserError
from dsl_tf.tuning import best
from dsl_tf.tuning.best import Best


@pytest.fixture
def config():
    config = config_files.load(config_files.find("mf.py"), "demo")
    config.method.name = "dsl"
    return config


def _best(folder, fixed=(), file="configs/mf.py:demo", **settings):
    folder.mkdir(exist_ok=True)
    return Best(folder, file, dict(fixed), settings, value=0.25, trial=3)


def test_what_is_written_is_read(tmp_path):
    first = _best(tmp_path / "a", {"evaluation.cutoffs": (20, 50)}, x=0.5, y=(1, 2))
    second = _best(tmp_path / "b", z="none")
    first.write()
    second.write()
    (tmp_path / "no search").mkdir()
    read = best.read(tmp_path)
    assert [each.folder for each in read] == [tmp_path / "a", tmp_path / "b"]
    assert read[0].settings == first.settings  # tuples are tuples again
    assert (read[0].value, read[0].trial, read[0].file) == (0.25, 3, first.file)
    assert read[1] == second
    assert best.read(tmp_path / "b") == [second]


def test_a_search_serves_its_own_file_and_keys(tmp_path, config):
    serves = [
        ({}, True),
        ({"method.name": "dsl", "evaluation.cutoffs": [20]}, True),
        ({"method.name": "dsl", "seeds": (7,)}, True),
        ({"method.name": "dense"}, False),
        ({"method.name": "dsl", "sparsity.target": 0.9}, False),
        ({"gone.since": 1}, False),
    ]
    for fixed, expected in serves:
        found = _best(tmp_path, fixed)
        assert found.serves("configs/mf.py:demo", config) is expected
    assert found.serves("configs/mf.py:ml-1m", config) is False
    path = config_files.find("mf.py").resolve()
    assert _best(tmp_path).serves(f"{path}:demo", config)
    assert not _best(tmp_path).serves("configs/neumf.py:demo", config)


def test_the_search_that_says_most_of_a_run_is_the_one(tmp_path, config):
    general = _best(tmp_path / "a")
    special = _best(tmp_path / "b", {"method.name": "dsl"})
    other = _best(tmp_path / "c", {"method.name": "dense", "sparsity.target": 0.0})
    file = "configs/mf.py:demo"
    assert best.find([general, special, other], file, config) is special
    assert best.find([general, other], file, config) is general
    assert best.find([other], file, config) is None
    assert best.find([], file, config) is None
    again = _best(tmp_path / "d", {"sparsity.target": config.sparsity.target})
    with pytest.raises(UserError, match=r"must have more keys.*b and .*d\.$"):
        best.find([general, special, again], file, config)


def test_a_search_whose_config_file_is_gone_serves_nothing(tmp_path, config):
    gone = _best(tmp_path / "a", file="gone.py:demo")
    there = _best(tmp_path / "b")
    assert best.find([gone, there], "configs/mf.py:demo", config) is there


def test_seeds_say_nothing_of_a_run(tmp_path, config):
    file = "configs/mf.py:demo"
    seeds = _best(tmp_path / "a", {"method.name": "dsl", "seeds": (7,)})
    more = {"method.name": "dsl", "sparsity.target": config.sparsity.target}
    special = _best(tmp_path / "b", more)
    assert best.find([seeds, special], file, config) is special
    plain = _best(tmp_path / "c", {"method.name": "dsl"})
    with pytest.raises(UserError, match="must have more keys"):
        best.find([seeds, plain], file, config)


def test_a_folder_without_a_search_is_told(tmp_path):
    with pytest.raises(UserError, match=r"`--tuned` must be .* Received: .*best\.json"):
        best.read(tmp_path)
    for content in ("", "[]", json.dumps({"value": 1, "trial": 1, "settings": {}})):
        (tmp_path / best.FILE).write_text(content)
        with pytest.raises(UserError, match=r"as this version writes it"):
            best.read(tmp_path)
