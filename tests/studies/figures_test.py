"""Figures of a study that are those of its runs."""

import pytest

from dsl_tf.studies import gathered
from dsl_tf.studies.figures import Pareto, Popularity


@pytest.fixture
def runs(finished):
    return gathered.runs(finished)


@pytest.fixture
def frame(finished, runs):
    return gathered.frame("small-full", finished, runs)


@pytest.mark.parametrize("heat_map", [False, True])
def test_popularity_is_of_the_first_sparse_run(frame, runs, heat_map):
    drawn = Popularity("p", "", heat_map=heat_map).show(frame, runs)
    assert drawn.figure.axes


def test_nothing_to_draw(frame):
    assert Pareto("p", "", "recall@20").show(frame, {}) is None
    assert Popularity("q", "").show(frame, {}) is None


def test_a_run_without_measured_files_is_no_point(frame, runs):
    assert Pareto("p", "", "recall@20").show(frame, runs) is None
    (name, run), *_ = runs.items()
    quality = {"model.tflite": {"recall@20": 0.3}}
    run.cost["files_metrics"] = quality
    assert Pareto("p", "", "recall@20").show(frame, {name: run}) is not None
