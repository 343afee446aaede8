"""What stands beside a caption."""

import pandas as pd
import pytest

from dsl_tf.studies import captions, gathered
from dsl_tf.studies.cells import Place
from dsl_tf.studies.grid import cells
from dsl_tf.studies.plan import Study


@pytest.fixture
def frame(finished):
    return gathered.frame("small-full", finished, gathered.runs(finished))


def test_columns_that_no_cell_has(frame):
    assert captions.absent(frame, ["recall@20", "ndcg@20"]) == []
    said = captions.absent(frame, ["recal@20", "ndcg@20", "hit@99"])
    assert said == ["No cell has `recal@20`, `hit@99`."]
    waiting = frame[frame["status"] == "waiting"]
    assert captions.absent(waiting, ["recal@20"]) == []


def test_cells_that_are_pooled_though_they_differ_in_more_than_seeds(frame):
    assert captions.pooled(frame, ["method", "sparsity"]) == []
    (said,) = captions.pooled(frame, ["method"])
    assert said == "Means are over cells that differ in `sparsity` too."


def test_two_files_of_one_backbone_are_told_apart(tmp_path):
    """Their cells had the same labels, and were averaged as if they were seeds."""
    own = tmp_path / "wide.py"
    own.write_text(
        "from dsl_tf.configs import mf\n\n\ndef get_config(data='demo'):\n"
        "    config = mf.get_config(data)\n    config.model.embedding_dim = 128\n"
        "    return config\n"
    )
    files = ("configs/mf.py:demo", f"{own}:demo")
    grid = ({"config": files, "method.name": "dense"},)
    found = cells(Study(title="", question="", grid=grid, seeds=(0,)))
    frame = gathered.frame("x", [Place(tmp_path, cell) for cell in found], {})
    assert list(frame["config"]) == list(files)
    (said,) = captions.pooled(frame, ["method"])
    assert "`config`" in said
    assert captions.pooled(frame, ["method", "config"]) == []


def test_bars_are_explained_where_there_are_some(frame):
    assert captions.bars(frame, ["method", "sparsity"])
    assert captions.bars(frame, ["cell"]) == []


def test_how_cells_were_evaluated():
    empty = pd.DataFrame({"protocol": ["full_ranking"], "refit": [True]})
    (said,) = captions.protocols(empty)
    assert said == "full_ranking; trained anew on training and validation."
    assert captions.protocols(pd.DataFrame({"a": [1]})) == []
