"""Runs of other studies are a cell's where all that they depend on is alike."""

import json

import pytest
import rich.console

from dsl_tf import data, provenance
from dsl_tf.errors import UserError
from dsl_tf.studies import gathered, taken
from dsl_tf.studies.cells import Place, Status


def _change(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.fixture(autouse=True)
def _data(monkeypatch, small_split):
    monkeypatch.setattr(data, "load_split", lambda config: small_split)


@pytest.fixture
def others(places, finish, tmp_path, small_split):
    """The same cells of another study, done, as runs of now record themselves."""
    found = [Place(tmp_path / "studies" / "other", place.cell) for place in places]
    for place in found:
        finish(place)
        made = {"versions": provenance.versions(), "code": provenance.code()}
        split = {"fingerprint": small_split.fingerprint()}
        _change(place.folder, **made, seed=place.cell.seed, data=split)
    return found


@pytest.fixture
def root(tmp_path):
    return tmp_path / "studies"


def _names(places):
    return {place.cell.name for place in places}


def test_alike_are_config_and_seed(places, others, root):
    found = taken.alike(places, root)
    assert found == {place.cell.name: place.folder for place in others}


def test_a_run_with_another_name_is_found(places, others, root):
    elsewhere = root / "by" / "hand"
    elsewhere.parent.mkdir()
    others[0].folder.rename(elsewhere)
    assert taken.alike(places, root)[places[0].cell.name] == elsewhere


def test_settings_of_other_methods_do_not_matter(places, others, root):
    config = json.loads((others[0].folder / "config.json").read_text())["config"]
    config["method"]["lottery_ticket"]["share"] = 0.123
    _change(others[0].folder, config=config)
    assert _names(places) == {*taken.alike(places, root)}


def _key(others):
    config = json.loads((others[0].folder / "config.json").read_text())["config"]
    config["train"]["learning_rate"] *= 2
    _change(others[0].folder, config=config)


def _seed(others):
    _change(others[0].folder, seed=7)


def _version(others):
    _change(others[0].folder, versions=provenance.versions() | {"numpy": "0.1"})


def _code(others):
    _change(others[0].folder, code="0" * 64)


def _older(others):
    """A run that does not say what code it is of."""
    file = others[0].folder / "config.json"
    settings = json.loads(file.read_text())
    del settings["code"]
    file.write_text(json.dumps(settings))


def _other_data(others):
    _change(others[0].folder, data={"fingerprint": "0" * 64})


def _no_run(others):
    (others[0].folder / "config.json").write_text("[1]")


def _unfinished(others):
    (others[0].folder / "report.html").unlink()


def _half_copied(others):
    others[0].folder.rename(others[0].folder.with_name(".copy.partial"))


@pytest.mark.parametrize(
    "differ",
    [
        *(_key, _seed, _version, _code, _older, _other_data),
        *(_no_run, _unfinished, _half_copied),
    ],
)
def test_what_differs_is_not_taken(places, others, root, differ):
    differ(others)
    assert _names(places[1:]) == {*taken.alike(places, root)}


def test_what_was_begun_or_done_stays(places, others, root, finish):
    finish(places[0])
    finish(places[1])
    (places[1].folder / "report.html").unlink()
    assert _names(places[2:]) == {*taken.alike(places, root)}


def test_a_copy_says_where_it_is_from(places, others, root, tmp_path):
    others[0].counts.write_text("1,,instructions:u\n")
    console = rich.console.Console(quiet=True)
    taken.take(places[:1], taken.alike(places, root), console)
    ours = places[0]
    assert ours.status is Status.DONE
    assert ours.source == str(others[0].folder)
    assert ours.counts.read_text() == others[0].counts.read_text()
    assert others[0].status is Status.DONE
    assert places[1].status is Status.WAITING
    table = gathered.frame("s", places, gathered.runs(places)).set_index("cell")
    assert str(others[0].folder) in table.loc[ours.cell.name, "warnings"]
    # A copy of a copy says where the run was made.
    third = Place(tmp_path / "third", ours.cell)
    taken.take([third], taken.alike([third], ours.root), console)
    assert third.source == ours.source
    # One that is deleted and made anew was made there.
    third.begin()
    assert third.source
    for file in third.folder.iterdir():
        file.unlink()
    third.begin()
    assert third.source == ""


def test_one_of_a_run_of_several_seeds(places, others, root):
    """The study refused what it had copied, for its `seeds`."""
    config = json.loads((others[0].folder / "config.json").read_text())["config"]
    _change(others[0].folder, config=config | {"seeds": [0, 1, 2]})
    found = taken.alike(places, root)
    taken.take(places, found, rich.console.Console(quiet=True))
    assert places[0].source == str(others[0].folder)
    places[0].check()


def test_data_that_cannot_be_read_are_nobodys(places, others, root, monkeypatch):
    def gone(config):
        raise UserError("`data.path` must exist. Received: gone.csv.")

    monkeypatch.setattr(data, "load_split", gone)
    assert taken.alike(places, root) == {}


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_runs(places, tmp_path, there):
    folder = tmp_path / "none"
    if there:
        folder.mkdir()
    with pytest.raises(UserError, match=f"`--runs` .*finished runs.*{folder}"):
        taken.alike(places, folder)
