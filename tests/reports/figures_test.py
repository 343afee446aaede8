import hypothesis
import matplotlib.image
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dsl_tf.reports import figures
from dsl_tf.reports.runs import read_run


def test_group_means_by_hand():
    counts = np.array([5, 1, 3, 9, 7])
    sparsity = np.array([0.5, 0.9, 0.7, 0.1, 0.3], np.float32)
    medians, means = figures.group_means(counts, sparsity, groups=2)
    np.testing.assert_array_equal(medians, [3, 8])  # {1, 3, 5} and {7, 9}
    np.testing.assert_allclose(means, [0.7, 0.2], rtol=1e-6)


def test_equal_counts_are_grouped_by_position():
    _, means = figures.group_means(np.ones(4), np.array([1.0, 0.5, 0.25, 0.0]), 2)
    np.testing.assert_array_equal(means, [0.75, 0.125])


def test_fewer_rows_than_groups_make_fewer_groups():
    medians, means = figures.group_means(np.array([4, 2]), np.array([0.0, 1.0]), 10)
    np.testing.assert_array_equal(medians, [2, 4])
    np.testing.assert_array_equal(means, [1.0, 0.0])


@hypothesis.given(
    arrays.arrays(np.int64, st.integers(10, 60), elements=st.integers(0, 9)),
    st.integers(1, 10),
)
def test_groups_hold_every_row_once(counts, groups):
    sparsity = np.random.default_rng(0).random(len(counts))
    medians, means = figures.group_means(counts, sparsity, groups)
    sizes = [len(part) for part in np.array_split(counts, groups)]
    assert np.average(means, weights=sizes) == pytest.approx(sparsity.mean())
    assert (np.diff(medians) >= 0).all()


def test_sparsity_panels_share_their_axis_and_show_the_whole(make_run):
    run = read_run(make_run())
    figure = figures.sparsity_by_popularity(run.sparsity, overall=0.75, groups=2)
    users, items = figure.axes
    assert users.get_ylim() == items.get_ylim()
    for axis, expected in ((users, [1.0, 0.5]), (items, [1.0, 0.5])):
        dashed, means = axis.get_lines()
        np.testing.assert_array_equal(dashed.get_ydata(), [0.75, 0.75])
        assert dashed.get_linestyle() == "--"
        np.testing.assert_array_equal(means.get_ydata(), expected)


def test_even_sparsity_is_not_blown_up_to_a_landscape(make_run):
    even = dict(read_run(make_run()).sparsity)
    even["users"] = np.full(8, 0.8)
    even["items"] = np.full(6, 0.8001)
    low, high = figures.sparsity_by_popularity(even, 0.8).axes[0].get_ylim()
    assert high - low == pytest.approx(0.1)


def test_pruned_weights_are_left_blank_in_the_heat_map():
    weights = np.array([[0.0, 0.25], [0.5, 0.0]], np.float32)
    (image,) = figures.heat_map({"heat_map": weights}).axes[0].get_images()
    np.testing.assert_array_equal(image.get_array().mask, weights == 0)


def test_a_heat_map_of_nothing_is_drawn():
    assert figures.heat_map({"heat_map": np.zeros((3, 2), np.float32)}).axes


def test_tables_side_by_side_are_told_apart():
    arrays = {
        "heat_map": np.ones((3, 6), np.float32),
        "heat_map_tables": np.array(["gmf", "mlp"]),
        "heat_map_columns": np.array([4, 2]),
    }
    axis = figures.heat_map(arrays).axes[0]
    assert [line.get_xdata()[0] for line in axis.lines] == [3.5]
    (top,) = axis.child_axes
    assert [text.get_text() for text in top.get_xticklabels()] == ["gmf", "mlp"]
    np.testing.assert_allclose(top.get_xticks(), [1.5, 4.5])
    del arrays["heat_map_tables"], arrays["heat_map_columns"]  # as in older runs
    assert not figures.heat_map(arrays).axes[0].lines


def test_the_best_epoch_is_marked(make_run):
    history = read_run(make_run()).history
    axis = figures.metric_curves(history, ["recall@20"], best_epoch=2).axes[0]
    marked = [line for line in axis.get_lines() if line.get_marker() == "D"]
    assert [float(x) for x in marked[0].get_xdata()] == [2]
    assert [float(y) for y in marked[0].get_ydata()] == [0.5]
    axis = figures.metric_curves(history, ["recall@20"], best_epoch=None).axes[0]
    assert len(axis.get_lines()) == 1


@pytest.mark.parametrize(
    ("dense", "names"),
    [
        (False, ["loss", "validation", "sparsity", "heat_map"]),
        (True, ["loss", "validation"]),
    ],
)
def test_figures_are_pictures_of_something(make_run, dense, names):
    run = read_run(make_run(dense=dense))
    written = figures.write_figures(run)
    assert [file.name for _, file in written] == [f"{name}.png" for name in names]
    for _, file in written:
        picture = matplotlib.image.imread(file)
        assert picture.shape[1] == 1440
        ink = (picture[..., :3].min(axis=-1) < 0.9).mean()
        assert 0.005 < ink < 0.9, file.name


def test_one_epoch_makes_a_figure(make_run):
    folder = make_run()
    lines = (folder / "history.csv").read_text().splitlines()[:2]
    (folder / "history.csv").write_text("\n".join(lines))
    assert len(figures.write_figures(read_run(folder))) == 4
