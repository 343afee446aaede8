"""What a study leaves in its folder."""

import dataclasses
import html.parser
import json

import pandas as pd
import pytest

from dsl_tf.errors import UserError
from dsl_tf.studies import page
from dsl_tf.studies.curves import Lines, Loss, Scatter
from dsl_tf.studies.figures import Pareto, Popularity
from dsl_tf.studies.tables import Table


class _Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.text, self.rows = [], [], 0

    def handle_starttag(self, tag, attributes):
        self.rows += tag == "tr"
        names = dict(attributes)
        self.sources += [names[n] for n in ("src", "href") if n in names]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def shown(study, finished, tmp_path):
    exhibits = (
        Lines("figure", "A figure.", "sparsity", "recall@20", where={"method": "dsl"}),
        Table("table", "A table.", rows=("method", "sparsity")),
        Lines("none", "", "sparsity", "no such metric"),
    )
    study = dataclasses.replace(study, exhibits=exhibits)
    file = page.write(tmp_path / "study", "small-full", study, finished, {})
    read = _Page()
    read.feed(file.read_text())
    return read


def test_the_page_needs_nothing_beside_it_and_says_what_failed(shown):
    links = {s for s in shown.sources if not s.startswith("#")}
    assert links == {"results.csv", "layers.csv"}  # to take away, not to read it
    text = " ".join(shown.text)
    assert "What is 0.5 < 0.8 & so on?" in text
    assert "4 of 6" in text
    assert "1 failed" in text
    assert "The disk is full: x." in text
    assert "--config.sparsity.target=0.8" in text
    assert "A table." in text
    assert "A figure." in text
    # A figure that cannot be made costs no run, and is not missing without a word.
    assert "none could not be made" in text
    assert "Received: no such metric." in text
    assert "Backward:" in text  # how multiply-accumulates are counted


def test_runs_without_validation_are_told(study, places, finish, tmp_path):
    for place in places:
        finish(place)
    arguments = tmp_path / "study", "small-full", study, places, {}
    assert "epochs are chosen on validation" in page.write(*arguments).read_text()
    file = places[0].folder / "metrics.json"
    metrics = json.loads(file.read_text()) | {"valid": {}}
    file.write_text(json.dumps(metrics))
    text = page.write(*arguments).read_text()
    assert "epochs are chosen on validation" not in text
    assert "they take their last epoch" in text


def test_files(shown, tmp_path):
    del shown
    folder = tmp_path / "study"
    names = {path.name for path in (folder / "exhibits").iterdir()}
    assert names == {"figure.png", "figure.svg", "table.md", "table.tex"}
    results = pd.read_csv(folder / "results.csv")
    assert len(results) == 6
    layers = pd.read_csv(folder / "layers.csv")
    assert len(layers) == 4 * 2  # finished cells, layers


def test_nothing_is_done_yet(study, places, tmp_path):
    file = page.write(tmp_path / "study", "small-full", study, places, {})
    assert "0 of 6" in file.read_text()


@pytest.mark.parametrize(
    ("exhibit", "wrong"),
    [
        (Table("t", "", rows=("method", "optimiser")), "optimiser"),
        (Table("t", "", rows=("method",), where={"dat": "demo"}), "dat"),
        (Lines("t", "", "sparsity", "recall@20", by=("ratio",)), "ratio"),
        (Lines("t", "", "sparsity", "recall@20", panels="size"), "size"),
        (Loss("t", "", by=("ratio",)), "ratio"),
        (Scatter("t", "", "a", "b", where={"width": 3}), "width"),
        (Pareto("t", "", "recall@20", where={"width": 3}), "width"),
        (Popularity("t", "", where={"width": 3}), "width"),
    ],
)
def test_a_label_that_the_grid_does_not_give(study, places, exhibit, wrong):
    study = dataclasses.replace(study, exhibits=(exhibit,))
    with pytest.raises(UserError, match=f"labels of t .* Received: {wrong}"):
        page.check("small-full", study, places)


def test_labels_that_the_grid_gives(study, places):
    rows = ("backbone", "method", "sparsity", "seed")
    levels = Lines("l", "", "sparsity", "ndcg@20", levels={"method": "dense"})
    study = dataclasses.replace(study, exhibits=(Table("t", "", rows=rows), levels))
    page.check("small-full", study, places)
