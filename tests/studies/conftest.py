"""A small study, and finished cells of it that were made by hand."""

import numpy as np
import pytest

from dsl_tf.studies.cells import Place
from dsl_tf.studies.grid import cells
from dsl_tf.studies.plan import Study
from tests.reports.conftest import RECALL, write_run  # noqa: F401, a fixture

FILE = "configs/mf.py:demo"


@pytest.fixture
def study():
    """Dense and DSL at two sparsities, of two seeds: six cells."""
    return Study(
        title="A small study",
        question="What is 0.5 < 0.8 & so on?",
        grid=(
            {"config": FILE, "method.name": "dense"},
            {"config": FILE, "method.name": "dsl", "sparsity.target": (0.5, 0.8)},
        ),
        seeds=(0, 1),
        keys={"train.epochs": 2},
    )


@pytest.fixture
def places(study, tmp_path):
    """The six cells in an empty folder."""
    return [Place(tmp_path / "study", cell) for cell in cells(study)]


@pytest.fixture
def finish(write_run):  # noqa: F811
    """Makes a cell's finished run: recall higher by 0.1 a seed, lower by sparsity."""

    def make(place):
        cell = place.cell
        sparsity = place.cell.config.sparsity.target
        dense = cell.config.method.name == "dense"
        recall = RECALL + 0.1 * cell.seed - (0.0 if dense else 0.1 * sparsity)
        mean = {"recall@20": float(np.mean(recall)), "ndcg@20": 0.2}
        write_run(
            place.folder,
            dense=dense,
            recall=recall,
            config=cell.settings(),
            metrics={"test": mean, "valid": mean},
        )
        (place.folder / "report.html").write_text("")

    return make


@pytest.fixture
def finished(places, finish):
    """All cells done but the last, which failed, and the one before, which waits."""
    for place in places[:-2]:
        finish(place)
    last = places[-1]
    last.begin()
    last.log.write_text("begun\nError: The disk is full: x.\n")
    last.fail(2)
    return places
