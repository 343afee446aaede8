"""How long is left of a study."""

import json
import time

import pytest

from dsl_tf.studies.remaining import Remaining


def _took(place, seconds):
    file = place.folder / "cost.json"
    cost = json.loads(file.read_text())
    cost["training"]["seconds"] = seconds
    file.write_text(json.dumps(cost))


def test_nothing_is_known_at_first(places):
    assert Remaining(places, 1).seconds() is None
    assert Remaining(places, 1).text() == "an unknown time"


def test_cells_take_what_the_most_alike_took(places, finish):
    for place, seconds in ((places[0], 100.0), (places[2], 10.0)):
        finish(place)
        _took(place, seconds)
    remaining = Remaining(places, 1)
    # The dense one of another seed; DSL of another seed, and of another sparsity.
    assert remaining.seconds() == pytest.approx(130 + 3 * 40)
    finish(places[4])
    _took(places[4], 12.0)
    remaining.measured(places[4], 70.0)
    assert remaining.seconds() == pytest.approx(130 + 40 + 70)
    assert Remaining(places, 2).seconds() == pytest.approx((130 + 40 + 42) / 2)


def test_what_another_run_took_is_not_taken_again(places, finish):
    finish(places[0])
    file = places[0].folder / "cost.json"
    cost = json.loads(file.read_text())
    passes = [{"seconds": 100.0}, {"seconds": 5000.0, "read_from": "a teacher"}]
    cost["training"] |= {"seconds": 5100.0, "passes": passes}
    file.write_text(json.dumps(cost))
    # No cell is more like the others.
    left = Remaining(places, 1).seconds()
    assert left == pytest.approx(130 * (len(places) - 1))


def test_what_failed_before_is_tried_again_once(finished):
    remaining = Remaining(finished, 1)
    assert remaining.seconds() == pytest.approx(2 * 42.5)
    remaining.measured(finished[-1], 5.0)  # it failed again
    assert remaining.seconds() == pytest.approx(42.5)


def test_a_plan_is_known_before_a_cell_has_finished(places):
    planned = {}
    remaining = Remaining(places, 2, lambda: planned)
    assert remaining.seconds() is None
    planned[places[0].cell.name] = 40.0
    # Of the others it is not known yet.
    assert remaining.seconds() == pytest.approx(len(places) * 40 / 2)
    planned |= {place.cell.name: 40.0 + n for n, place in enumerate(places)}
    assert remaining.seconds() == pytest.approx(sum(planned.values()) / 2)


def test_the_plan_is_as_wrong_for_a_cell_as_for_the_most_alike(places, finish):
    planned = {place.cell.name: 100.0 for place in places}
    planned[places[4].cell.name] = 1000.0  # many rounds
    remaining = Remaining(places, 1, lambda: planned)
    finish(places[0])
    remaining.measured(places[0], 200.0)
    # Its other seed takes what it took, the four others twice what was planned.
    left = remaining.seconds()
    assert left == pytest.approx(200 + 3 * 200 + 2000)


def test_what_runs_has_less_left_by_and_by(places, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    planned = {place.cell.name: 100.0 for place in places}
    remaining = Remaining(places, 1, lambda: planned)
    remaining.begun(places[0])
    assert remaining.seconds() == pytest.approx(600)
    now[0] += 70
    assert remaining.seconds() == pytest.approx(530)
    now[0] += 1000  # longer than was planned
    assert remaining.seconds() == pytest.approx(500)


def test_a_resumed_cell_took_what_all_of_its_processes_did(places, finish):
    """The last tenth of a run was taken for a whole one."""
    remaining = Remaining(places[:2], 1)
    finish(places[0])
    _took(places[0], 900.0)
    remaining.measured(places[0], 95.0)
    assert remaining.seconds() == pytest.approx(930)


def test_nothing_is_left_of_a_finished_study(places, finish):
    for place in places:
        finish(place)
    assert Remaining(places, 2).seconds() == 0.0


def test_cells_that_are_not_to_run_tell_how_long_others_take(places, finish):
    """Of `--seeds=1` after `--seeds=0` nothing was known."""
    finish(places[0])
    _took(places[0], 100.0)
    assert Remaining([places[1]], 1).seconds() is None
    remaining = Remaining([places[1]], 1, others=[places[0]])
    assert remaining.seconds() == pytest.approx(130)
    finish(places[1])
    assert remaining.seconds() == 0
