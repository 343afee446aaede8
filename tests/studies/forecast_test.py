"""Cells are planned by a process beside those that run."""

import contextlib
import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

from dsl_tf.studies import forecast, grid, plan
from dsl_tf.studies.cells import Place

STUDY = """
from dsl_tf.studies.plan import Study

def get_config(size="full"):
    return Study(
        title="Three methods",
        question="Which of them takes how long?",
        grid=({{
            "config": "configs/mf.py:own",
            "method.name": ("dense", "magnitude_pruning", "quantised"),
        }},),
        keys={{"data.path": {path!r}, "method.quantised.bits": 3}},
    )
"""


@pytest.fixture
def config(small_csv, tmp_path):
    file = tmp_path / "three.py"
    file.write_text(STUDY.format(path=str(small_csv)))
    return file


@pytest.fixture
def places(config, tmp_path):
    _, study = plan.read(str(config))
    cells = grid.cells(study, ["train.epochs=2"], [7])
    return [Place(tmp_path / "study", cell) for cell in cells]


def test_each_cell_is_planned_as_it_will_run(config, places):
    with forecast.planning(
        str(config), ["train.epochs=2"], None, places, places
    ) as planned:
        assert planned() == {}
        end = time.monotonic() + 600
        while len(planned()) < len(places) and time.monotonic() < end:
            time.sleep(0.1)
        found = dict(planned())
    dense, twice, refused = (found[place.cell.name] for place in places)
    # It has a second pass; 30 seconds are for what is beside training.
    assert twice > dense > 30.0
    assert refused == 30.0


def test_the_process_gives_way_to_the_cells(config, places, monkeypatch):
    started, found = forecast.children.started, []

    @contextlib.contextmanager
    def noted(*arguments):
        with started(*arguments) as process:
            found.append(process.pid)
            yield process

    monkeypatch.setattr(forecast.children, "started", noted)
    with forecast.planning(
        str(config), ["train.epochs=2"], None, places, places
    ) as planned:
        end = time.monotonic() + 600
        while not planned() and time.monotonic() < end:
            time.sleep(0.1)
        assert os.getpriority(os.PRIO_PROCESS, found[0]) == 19
        # Of its session, where the system has such groups.
        group = Path(f"/proc/{found[0]}/autogroup")
        assert not group.exists() or group.read_text().split()[-1] == "19"


def test_one_cell_tells_its_own_time(config, places, monkeypatch):
    monkeypatch.setattr(forecast.children, "started", None)
    with forecast.planning(str(config), [], None, places, places[:1]) as planned:
        assert planned() == {}


def test_what_is_done_is_planned_last(config, places, finish):
    """How long it took is then known to be of so much."""
    finish(places[0])
    file = places[0].folder / "cost.json"
    cost = json.loads(file.read_text())
    one = {"steps": 1000, "macs": 10, "seconds": 77.0}
    cost["training"] |= {"passes": [one]}
    file.write_text(json.dumps(cost))
    with forecast.planning(
        str(config), ["train.epochs=2"], None, places, places[1:]
    ) as planned:
        end = time.monotonic() + 600
        while len(planned()) < len(places) and time.monotonic() < end:
            time.sleep(0.1)
        assert [*planned()] == [p.cell.name for p in (*places[1:], places[0])]


def test_a_plan_of_very_many_cells_starts(config, places):
    many = [
        dataclasses.replace(p, cell=dataclasses.replace(p.cell, name=f"{n}" + "x" * 75))
        for n in range(3000)
        for p in places[:1]
    ]
    with forecast.planning(str(config), [], None, many, many) as planned:
        assert planned() == {}


def test_lines_that_are_not_its_own_are_passed_over(tmp_path):
    file = tmp_path / "lines"
    file.write_bytes(b'5\nnull\n[1\n["a", 3.0]\n["b", 4')
    with file.open("rb") as lines:
        assert forecast._read(lines) == {"a": 3.0}
