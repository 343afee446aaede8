"""Figures of a study that are those of its runs."""

import numpy as np
import pytest

from dsl_tf.studies import gathered
from dsl_tf.studies.figures import Pareto, Popularity


@pytest.fixture
def runs(finished):
    return gathered.runs(finished)


@pytest.fixture
def frame(finished, runs):
    return gathered.frame("small-full", finished, runs)


@pytest.fixture
def sparse(runs):
    """The sparse cells, in the order of the study."""
    return [run for run in runs.values() if run.sparsity is not None]


def test_popularity_is_of_the_first_sparse_run(frame, runs, sparse):
    for overall, run in zip((0.4, 0.6), sparse, strict=True):
        run.cost["sparsity"] = overall
    drawn = Popularity("p", "").show(frame, runs)
    users, items = drawn.figure.axes
    for axis in (users, items):
        (line,) = [each for each in axis.lines if each.get_linestyle() == "--"]
        assert list(line.get_ydata()) == [0.4, 0.4]


def test_the_heat_map_is_of_the_cells_that_fit(frame, runs, sparse):
    first, second = sparse
    second.sparsity["heat_map"] = first.sparsity["heat_map"] + 1.0
    where = {"cell": (second.folder.name,)}
    drawn = Popularity("p", "", heat_map=True, where=where).show(frame, runs)
    image = drawn.figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(image.filled(0.0), second.sparsity["heat_map"])


def test_nothing_to_draw(frame):
    assert Pareto("p", "", "recall@20").show(frame, {}) is None
    assert Popularity("q", "").show(frame, {}) is None


def test_a_run_without_measured_files_is_no_point(frame, runs):
    assert Pareto("p", "", "recall@20").show(frame, runs) is None
    (name, run), *_ = runs.items()
    quality = {"model.tflite": {"recall@20": 0.3}}
    run.cost["files_metrics"] = quality
    assert Pareto("p", "", "recall@20").show(frame, {name: run}) is not None
