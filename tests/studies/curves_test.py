"""Lines and points drawn from a study's table."""

import dataclasses

import matplotlib.image
import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.studies import gathered
from dsl_tf.studies.curves import Lines, Loss, Scatter


@pytest.fixture
def runs(finished):
    return gathered.runs(finished)


@pytest.fixture
def frame(finished, runs):
    return gathered.frame("small-full", finished, runs)


def _lines(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


@pytest.fixture
def lines():
    return Lines(
        "f",
        "Recall.",
        x="sparsity",
        y="recall@20",
        where={"method": "dsl"},
        levels={"method": "dense"},
    )


def test_lines_are_means_over_seeds_and_levels_lie_flat(lines, frame):
    figure = lines.show(frame, {}).figure
    (bars,) = figure.axes[0].containers
    np.testing.assert_allclose(bars.lines[0].get_xydata(), [[0.5, 0.375]])
    assert bars.get_label() == "dsl"
    level = _lines(figure)["dense"]
    assert list(level.get_ydata()) == pytest.approx([0.425, 0.425])


def test_bytes_have_their_unit(frame):
    frame["cost.training.state_bytes"] = [2.5e6, 2.5e6, 5e5, 5e5, None, None]
    lines = Lines("f", "", x="cost.training.state_bytes", y="recall@20")
    (axes,) = lines.show(frame, {}).figure.axes
    axes.figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert any(each.endswith(" MB") for each in labels)
    assert not axes.xaxis.get_offset_text().get_text()


def test_the_caption_says_which_cells_are_missing(lines, frame):
    """A line from .6 to .8 looks like one with a point at .7."""
    bars = "Bars: standard deviation over cells of a point, such as seeds."
    assert lines.show(frame, {}).caption == (
        f"Recall. Of 6 cells 1 failed and 1 not done. {bars}"
    )
    done = frame[frame["status"] == "done"]
    assert lines.show(done, {}).caption == f"Recall. {bars}"
    once = done[done["seed"] == 0]
    assert lines.show(once, {}).caption == "Recall."


def test_a_level_has_the_colour_of_its_curve_and_says_whose_it_is(frame):
    axis = "sparsity.update_interval"
    frame[axis] = [None, None, 1000.0, 1000.0, None, None]
    frame.loc[:1, "sparsity"] = 0.5
    by = {"x": axis, "y": "recall@20", "by": ("sparsity",), "panels": "backbone"}
    lines = Lines("f", "", where={"method": "dsl"}, levels={"method": "dense"}, **by)
    figure = lines.show(frame, {}).figure
    (axes,) = figure.axes
    assert axes.get_title() == "mf on demo"
    assert axes.get_xlabel() == "update interval (steps)"
    figure.canvas.draw()
    assert "1000" in [label.get_text() for label in axes.get_xticklabels()]
    level = _lines(figure)["dense sparsity 0.5"]
    (curve,) = axes.containers
    assert curve.get_label() == "sparsity 0.5"
    assert level.get_color() == curve.lines[0].get_color()


def test_levels_may_be_of_several_methods(frame):
    frame.loc[1, "method"] = "random_pruning"
    frame.loc[:1, "sparsity"] = 0.5
    levels = {"method": ("dense", "random_pruning")}
    shown = {"x": "cost.training.seconds", "y": "recall@20", "by": ("sparsity",)}
    lines = Lines("f", "", where={"method": "dsl"}, levels=levels, **shown)
    found = _lines(lines.show(frame, {}).figure)
    assert found["dense sparsity 0.5"].get_ydata()[0] == pytest.approx(0.375)
    assert found["random_pruning sparsity 0.5"].get_ydata()[0] == pytest.approx(0.475)


def test_nothing_to_draw(lines, frame):
    assert lines.show(frame.iloc[:2], {}) is None
    assert Loss("l", "").show(frame, {}) is None
    waiting = frame[frame["status"] != "done"].drop(columns="recall@20")
    assert lines.show(waiting, {}) is None


def test_what_no_cell_has_is_no_empty_place(lines, frame):
    """A misspelt column left a figure out without a word."""
    with pytest.raises(UserError, match=r"column of numbers .* Received: recall@20"):
        lines.show(frame.drop(columns="recall@20"), {})
    with pytest.raises(UserError, match=r"Received: cost\.nothing"):
        Scatter("s", "", x="cost.nothing", y="recall@20").show(frame, {})
    with pytest.raises(UserError, match="Received: method"):
        Lines("l", "", "method", "recall@20").show(frame, {})


def test_the_axis_says_of_which_part_a_metric_is(frame):
    of = {"x": "sparsity", "where": {"method": "dsl"}}
    for column, text in (
        ("recall@20", "recall@20 of the test set"),
        ("valid_recall@20", "recall@20 of validation"),
    ):
        (axes,) = Lines("l", "", y=column, **of).show(frame, {}).figure.axes
        assert axes.get_ylabel() == text


def test_loss(frame, runs):
    figure = Loss("l", "", by=("method", "sparsity")).show(frame, runs).figure
    found = _lines(figure)
    assert set(found) == {"dense sparsity 0", "dsl sparsity 0.5"}
    np.testing.assert_allclose(found["dense sparsity 0"].get_ydata(), [0.75, 0.5, 0.25])


def test_losses_of_several_data_in_one_line_are_told(frame, runs):
    frame = frame.assign(data=["demo", "ml-100k", *frame["data"][2:]])
    run = runs[frame["cell"][1]]
    shorter = dataclasses.replace(run, history=run.history.iloc[:-1])
    runs = runs | {frame["cell"][1]: shorter}
    shown = Loss("l", "Loss.", by=("method", "sparsity")).show(frame, runs)
    assert "Means are over cells that differ in `data` too." in shown.caption
    # As far as both go: one alone is no mean.
    line = _lines(shown.figure)["dense sparsity 0"]
    np.testing.assert_allclose(line.get_ydata(), [0.75, 0.5])


def test_scatter_has_a_point_a_cell(frame):
    scatter = Scatter("s", "", x="cost.training.seconds", y="recall@20")
    found = _lines(scatter.show(frame, {}).figure)
    np.testing.assert_allclose(
        found["dsl"].get_xydata(), [[12.5, 0.325], [12.5, 0.425]]
    )


def test_files_and_the_page(lines, frame, tmp_path):
    drawn = lines.show(frame, {})
    drawn.write(tmp_path)
    assert matplotlib.image.imread(tmp_path / "f.png").std() > 0.01
    assert (tmp_path / "f.svg").read_text().count("<svg") == 1
    page = drawn.html()
    assert page.count("<svg") == 1
    assert "<?xml" not in page
