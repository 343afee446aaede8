"""How far a cell is, and why it failed."""

import json
import shutil

import pytest

from dsl_tf.errors import UserError
from dsl_tf.studies.cells import Place, Status


@pytest.fixture
def place(places):
    return places[2]


def test_from_waiting_to_done(place, finish):
    assert place.status is Status.WAITING
    finish(place)
    (place.folder / "report.html").unlink()
    assert place.status is Status.BEGUN
    (place.folder / "report.html").write_text("")
    assert place.status is Status.DONE
    assert place.error == ""


def test_a_failure_is_kept_until_it_is_tried_again(place):
    place.begin()
    place.log.write_text("epoch 1/2\nError: `train.epochs` must be an integer.\n\n")
    place.fail(2)
    assert place.status is Status.FAILED
    assert place.error == "`train.epochs` must be an integer."
    place.begin()
    assert place.status is Status.WAITING
    assert place.log.exists()


def test_a_killed_process_says_so(place):
    place.begin()
    place.log.write_text("epoch 1/2\n")
    place.fail(-9)
    assert place.error == "killed by signal 9, after: epoch 1/2"


def test_a_failure_has_its_own_attempts_reason(place):
    """A process that was killed before it said a word had the one before's."""
    place.begin()
    place.log.write_text("Error: The disk is full.\n")
    place.fail(2)
    since = place.begin()
    place.fail(-9, since)
    assert place.error == "killed by signal 9, after: it printed nothing"


def test_instructions_of_a_run_that_was_deleted_do_not_count(place, finish):
    finish(place)
    place.counts.write_text("1,,instructions:u\n")
    place.begin()
    assert place.counts.exists()
    shutil.rmtree(place.folder)
    place.begin()
    assert not place.counts.exists()


def test_a_run_older_than_a_key_had_its_default(place, finish):
    finish(place)
    file = place.folder / "config.json"
    settings = json.loads(file.read_text())
    asked = settings["config"]["growth"].pop("second_moment")
    file.write_text(json.dumps(settings))
    place.check()
    place.cell.config.growth.second_moment = "zero" if asked != "zero" else "row"
    with pytest.raises(UserError, match=r"growth\.second_moment"):
        place.check()


def test_settings_of_methods_that_it_does_not_have_may_differ(place, finish):
    """As `--set` gives those of one method to all cells."""
    finish(place)
    place.cell.config.method.lottery_ticket.share = 0.5
    place.check()
    of_run = json.loads((place.folder / "config.json").read_text())
    of_run["config"]["method"]["name"] = "lottery-ticket"
    (place.folder / "config.json").write_text(json.dumps(of_run))
    place.cell.config.method.name = "lottery-ticket"
    with pytest.raises(UserError, match=r"method\.lottery_ticket\.share` is 0.5"):
        place.check()


def test_another_run_in_the_folder_is_refused(place, finish, places):
    finish(place)
    place.check()
    other = Place(place.root, places[4].cell)
    assert other.cell.config.sparsity.target == 0.8
    place.folder.rename(other.folder)
    with pytest.raises(UserError, match=r"`sparsity.target` is 0.8.*Received: 0.5"):
        other.check()
