"""Tables of a study."""

import re

import pandas as pd
import pytest

from dsl_tf.studies import gathered, grid, plan
from dsl_tf.studies.cells import Place
from dsl_tf.studies.tables import RECALL, SECONDS, TRAINING_MACS, Table, chosen


@pytest.fixture
def frame(finished):
    return gathered.frame("small-full", finished, gathered.runs(finished))


@pytest.fixture
def table():
    return Table(
        "t1",
        "A table | of 100 % & more.",
        rows=("method", "sparsity"),
        values=(RECALL, SECONDS),
        paper={("dsl", 0.5): {"recall@20": 0.5}, ("dsl", 0.8): {"recall@20": 0.25}},
    )


def test_means_deviations_and_the_papers_numbers(table, frame):
    shown = table.show(frame, {})
    assert shown.header == ["method", "sparsity", "Recall@20", "training"]
    assert shown.rows == [
        ["dense", "0", "0.4250 ± 0.0707", "12 s ± 0 s"],
        ["dsl", "0.5", "0.3750 ± 0.0707* (paper 0.5000, -25.0%)", "12 s ± 0 s"],
        ["dsl", "0.8", "failed (paper 0.2500)", "failed"],
    ]


def test_seeds_that_failed_are_told(table, frame):
    seeds = frame[(frame["method"] == "dsl") & (frame["sparsity"] == 0.5)].index
    frame.loc[seeds[0], ["status", "recall@20"]] = ["failed", None]
    (row,) = [row for row in table.show(frame, {}).rows if row[:2] == ["dsl", "0.5"]]
    assert "[1 of 2 failed]" in row[2]


def test_seeds_that_are_still_to_come_are_told(table, frame):
    seeds = frame[(frame["method"] == "dsl") & (frame["sparsity"] == 0.5)].index
    frame.loc[seeds[0], ["status", "recall@20"]] = ["waiting", None]
    (row,) = [row for row in table.show(frame, {}).rows if row[:2] == ["dsl", "0.5"]]
    assert "[1 of 2 done]" in row[2]


def test_a_difference_is_marked_where_every_seed_has_it(table, frame):
    frame["recall@20_p_value"] = [None, None, 0.01, 0.06, None, None]
    rows = table.show(frame, {}).rows
    assert not [cell for row in rows for cell in row if "*" in cell]


def test_rows_of_the_same_first_labels_stand_together(frame):
    """Blocks of a grid have one data set after the other, each."""
    frame["data"] = ["b", "a"] * 3
    table = Table("t", "", rows=("data", "method", "sparsity"), values=(RECALL,))
    assert [row[:3] for row in table.show(frame, {}).rows] == [
        ["b", "dense", "0"],
        ["b", "dsl", "0.5"],
        ["b", "dsl", "0.8"],
        ["a", "dense", "0"],
        ["a", "dsl", "0.5"],
        ["a", "dsl", "0.8"],
    ]


def test_columns_are_parts(frame):
    table = Table("t", "", rows=("method",), columns=("sparsity",), values=(RECALL,))
    shown = table.show(frame, {})
    assert shown.header == [
        "method",
        "sparsity 0 · Recall@20",
        "sparsity 0.5 · Recall@20",
        "sparsity 0.8 · Recall@20",
    ]
    assert shown.rows[0] == ["dense", "0.4250 ± 0.0707", "-", "-"]


def test_labels_that_some_cells_have_not(frame):
    axis = "sparsity.update_interval"
    frame[axis] = [float("nan")] * 4 + [50.0] * 2
    table = Table("t", "", rows=("method", axis), values=(SECONDS,))
    rows = table.show(frame, {}).rows
    assert rows == [
        ["dense", "", "12 s ± 0 s"],
        ["dsl", "", "12 s ± 0 s"],
        ["dsl", "50", "failed"],
    ]


def test_cells_of_several_data_in_one_row_are_told(frame):
    """Also where the table asks for several itself."""
    where = {"sparsity": (0.5, 0.8)}
    shown = Table("t", "By method.", rows=("method",), where=where).show(frame, {})
    assert "Means are over cells that differ in `sparsity` too." in shown.caption
    apart = Table("t", "", rows=("method", "sparsity"), where=where).show(frame, {})
    assert "Means are over" not in apart.caption


def test_nothing_to_show(table, frame):
    assert table.show(frame.iloc[:0], {}) is None


def test_files(table, frame, tmp_path):
    table.show(frame, {}).write(tmp_path)
    lines = (tmp_path / "t1.md").read_text().splitlines()
    assert lines[0].startswith(f"{table.caption} full_ranking; no refit. ±: standard")
    assert "*: differs from dense, p < .05" in lines[0]
    cells = [cell.strip() for cell in lines[4].strip("|").split("|")]
    assert cells[:3] == ["dense", "0", "0.4250 ± 0.0707"]
    latex = (tmp_path / "t1.tex").read_text()
    assert r"\toprule" in latex
    assert r"-25.0\%" in latex
    assert r"Recall@20" in latex
    assert r"A table | of 100 \% \& more. full\_ranking" in latex


def test_what_has_not_begun_is_folded_on_the_page(table, frame):
    assert "<details>" not in table.show(frame, {}).html()
    for status in ("failed", "done"):
        assert "<details>" not in table.show(frame.assign(status=status), {}).html()
    page = table.show(frame.assign(status="waiting", **{"recall@20": None}), {}).html()
    assert page.count("<details>") == page.count("</details>") == 1
    assert page.index("<summary>A table |") < page.index("(paper 0.5000)")


def test_html_is_escaped(frame):
    table = Table("t", "<b>bold</b>", rows=("method",), values=(RECALL,))
    page = table.show(frame, {}).html()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert page.count("<tr>") == 3


def test_the_page_sorts_numbers_by_what_they_are(frame):
    frame["cost.training.macs"] = [4.1e7, 4.1e7, 3e9, 3e9, None, None]
    table = Table("t", "", rows=("method", "sparsity"), values=(TRAINING_MACS,))
    page = table.show(frame, {}).html()
    assert re.findall(r'data-value="([^"]*)" class="number">([^<]*)<', page) == [
        ("41000000.0", "41.00\N{NO-BREAK SPACE}MMAC ± 0.00\N{NO-BREAK SPACE}MAC"),
        ("3000000000.0", "3.00\N{NO-BREAK SPACE}GMAC ± 0.00\N{NO-BREAK SPACE}MAC"),
        ("", "failed"),
    ]


@pytest.mark.parametrize(
    ("study", "numbers"),
    [
        # Multiply-accumulates, their shares of dense; of two backbones no quality.
        ("table2", {"small": 12 * 3 + 12 * 5, "lightgcn": 12 * 5, "ultragcn": 12 * 5}),
        # Methods and widths: costs as they are, as shares of dense; memory; quality.
        ("table3", {"yelp2018": 11 * 2 * 5}),
        # Decays, both readings of Algorithm 1, two metrics, on Gowalla.
        ("table4", {"": 3 * 2 * 2}),
    ],
)
def test_the_papers_numbers_stand_beside_cells_of_its_studies(study, numbers, tmp_path):
    name, wanted = plan.read(f"configs/studies/{study}.py")
    places = [Place(tmp_path, cell) for cell in grid.cells(wanted, seeds=[0])]
    frame = gathered.frame(name, places, {})
    found = {}
    for exhibit in wanted.exhibits:
        rows = exhibit.show(frame, {}).rows
        if beside := sum("(paper" in cell for row in rows for cell in row):
            found[exhibit.name.removeprefix(study).lstrip("_")] = beside
    assert found == numbers


def test_chosen():
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "x"]})
    assert list(chosen(frame, {"a": (1, 2)}).a) == [1, 2]
    assert list(chosen(frame, {"a": (1, 3), "b": "x"}).a) == [1, 3]


def test_large_labels_keep_their_digits(frame):
    """Budgets of a million bytes and one more were one and the same row's."""
    frame = frame.iloc[[0, 2]].assign(**{"budget.bytes": [1_250_000.0, 1_250_001.0]})
    shown = Table("t", "T.", rows=("budget.bytes",)).show(frame, {})
    assert [row[0] for row in shown.rows] == ["1250000", "1250001"]


def test_keys_of_one_last_name_are_told_apart(frame):
    keys = ("method.pep.share", "method.lottery_ticket.share")
    frame = frame.assign(**dict.fromkeys(keys, 0.5))
    shown = Table("t", "T.", rows=("method", *keys)).show(frame, {})
    assert shown.header[:3] == ["method", *keys]
