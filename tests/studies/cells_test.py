"""How far a cell is, and why it failed."""

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


def test_another_run_in_the_folder_is_refused(place, finish, places):
    finish(place)
    place.check()
    other = Place(place.root, places[4].cell)
    assert other.cell.config.sparsity.target == 0.8
    place.folder.rename(other.folder)
    with pytest.raises(UserError, match=r"`sparsity.target` is 0.8.*Received: 0.5"):
        other.check()
