"""The tidy table of a study."""

import json

import numpy as np
import pytest

from dsl_tf.evaluation import intervals
from dsl_tf.studies import gathered
from dsl_tf.studies.cells import Place
from dsl_tf.studies.grid import cells
from dsl_tf.studies.plan import Study
from tests.reports.conftest import COST, write_run  # noqa: F401, a fixture


@pytest.fixture
def frame(finished):
    return gathered.frame("small-full", finished, gathered.runs(finished))


def test_a_row_a_cell_finished_or_not(frame):
    assert list(frame.columns[: len(gathered.LABELS)]) == list(gathered.LABELS)
    assert list(frame["status"]) == ["done"] * 4 + ["waiting", "failed"]
    assert list(frame["error"]) == [""] * 5 + ["The disk is full: x."]
    assert list(frame["sparsity"]) == [0, 0, 0.5, 0.5, 0.8, 0.8]
    assert list(frame["seed"]) == [0, 1, 0, 1, 0, 1]
    assert set(frame["backbone"]) == {"mf"}
    assert frame.columns[-1] == "command"
    assert all("--config.method.name=" in command for command in frame["command"])


def test_every_number_of_the_runs(frame):
    done = frame[frame["status"] == "done"]
    np.testing.assert_allclose(done["recall@20"], [0.375, 0.475, 0.325, 0.425])
    np.testing.assert_allclose(done["valid_recall@20"], done["recall@20"])
    assert set(done["cost.training.seconds"]) == {12.5}
    assert set(done["cost.files.model.tflite"]) == {2_000_000}
    assert frame[frame["status"] != "done"]["recall@20"].isna().all()


PASSES = [
    {
        "name": name,
        "seconds": seconds,
        "steps": 0,
        "size": {"users": 2},
        "layers": {
            "hop": {"forward": 1, "backward": 2, "optimizer": 0},
            "update": {"forward": 0, "backward": 0, "optimizer": 5},
        },
    }
    for name, seconds in (("teacher", 3.0), ("select", 4.0))
]


@pytest.fixture
def of_passes(tmp_path, study, write_run):  # noqa: F811
    """A dense and a DSL cell of two passes, of 8 and of 6 multiply-accumulates.

    As the paper counts a step takes 5 and 4, and there are 10 and 30 of them.
    """
    places = [Place(tmp_path, cell) for cell in cells(study)[:3:2]]
    for place, macs in zip(places, (8, 6), strict=True):
        steps, a_step = (10, 5.0) if macs == 8 else (30, 4.0)
        last = {"steps": steps, "as_published": steps * a_step}
        passes = [PASSES[0], PASSES[1] | last]
        training = COST["training"] | {"macs": macs, "passes": passes}
        tensors = {"table": {"shape": [7, 4]}}
        cost = {"training": training, "tensors": tensors}
        cost["as_published"] = {"training_macs": macs / 16}
        write_run(place.folder, config=place.cell.settings(), cost=cost)
        (place.folder / "report.html").write_text("")
    return places


def test_every_number_of_a_pass(of_passes):
    frame = gathered.frame("x", of_passes, gathered.runs(of_passes))
    assert set(frame["cost.training.passes.teacher.seconds"]) == {3.0}
    assert set(frame["cost.training.passes.select.seconds"]) == {4.0}
    assert set(frame["cost.training.passes.select.size.users"]) == {2}
    assert set(frame["cost.tensors.table.shape.0"]) == {7}
    assert not [name for name in frame if "hop" in name]


def test_layers_are_a_table_of_their_own(of_passes):
    layers = gathered.layers("x", of_passes, gathered.runs(of_passes))
    assert len(layers) == 2 * 2 * 2
    assert list(layers["method"]) == ["dense"] * 4 + ["dsl"] * 4
    wanted = ["pass", "layer", "forward", "backward", "optimizer"]
    assert layers.iloc[5][wanted].to_list() == ["teacher", "update", 0, 0, 5]
    assert layers.iloc[6][wanted].to_list() == ["select", "hop", 1, 2, 0]


def test_no_cell_has_layers_yet(places):
    layers = gathered.layers("x", places, {})
    assert layers.empty
    assert "optimizer" in layers


def test_costs_as_shares_of_the_dense_cell(of_passes):
    frame = gathered.frame("x", of_passes, gathered.runs(of_passes))
    assert list(frame["training_macs_share"]) == [1.0, 0.75]
    # By step: that the one trained for longer is not of the formulas.
    assert list(frame["as_published_share"]) == [1.0, 0.8]


def test_differences_are_to_the_dense_cell_of_the_same_seed(frame):
    difference = frame["recall@20_difference"]
    assert difference[:2].isna().all()
    np.testing.assert_allclose(difference[2:4], -0.05)
    # Every user has the same difference, so there is nothing to doubt.
    np.testing.assert_allclose(frame["recall@20_difference_low"][2:4], -0.05)
    assert (frame["recall@20_p_value"][2:4] < 0.01).all()


def test_axes_beside_the_labels(tmp_path):
    file = "configs/mf.py:demo"
    grid = (
        {"config": file, "method.name": "dense"},
        {"config": file, "method.name": "dsl", "sparsity.update_interval": (10, 20)},
    )
    places = [Place(tmp_path, cell) for cell in cells(Study("", "", grid))]
    frame = gathered.frame("x", places, {})
    assert gathered.axes(frame) == ["sparsity.update_interval"]
    assert np.isnan(frame["sparsity.update_interval"][0])
    assert list(frame["sparsity.update_interval"][1:]) == [10, 20]


def test_the_file_that_a_budget_holds_down(tmp_path, write_run):  # noqa: F811
    grid = {"config": "configs/mf.py:demo", "budget.bytes": (2_500_000,)}
    (cell,) = cells(Study("", "", [grid]))
    place = Place(tmp_path, cell)
    held = {"recall@20": 0.25, "coverage@20": 0.5}
    cost = {
        "budget": {"asked": 2_500_000, "got": 2_000_000, "file": "model.tflite"},
        "files_metrics": {"model.tflite": held, "saved_model": {"recall@20": 0.5}},
    }
    write_run(place.folder, config=cell.settings(), cost=cost)
    (place.folder / "report.html").write_text("")
    (row,) = gathered.frame("x", [place], gathered.runs([place])).to_dict("records")
    assert row["file_recall@20"] == 0.25
    assert row["budget.bytes"] == row["cost.budget.asked"] == 2_500_000
    assert np.isnan(row["sparsity"])  # nobody asked for one


def test_a_budget_has_no_sparsity_whatever_the_method(tmp_path):
    grid = {
        "config": "configs/mf.py:demo",
        "method.name": "quantised",
        "budget.bytes": (500_000,),
    }
    places = [Place(tmp_path, cell) for cell in cells(Study("", "", [grid]))]
    assert gathered.frame("x", places, {})["sparsity"].isna().all()


@pytest.mark.parametrize(
    ("keys", "compared"),
    [
        ({"model.embedding_dim": 64}, True),  # as the dense cell has by default
        ({"model.embedding_dim": 32}, False),
        ({"train.learning_rate": 0.5}, False),
        ({"sparsity.update_interval": 7, "growth.criterion": "random"}, True),
    ],
)
def test_cells_are_compared_with_the_dense_one_of_their_model_and_training(
    tmp_path,
    write_run,  # noqa: F811
    keys,
    compared,
):
    file = {"config": "configs/mf.py:demo"}
    grid = [
        {**file, "method.name": "dense"},
        {**file, "method.name": "dsl", "sparsity.target": 0.5, **keys},
    ]
    places = [Place(tmp_path, cell) for cell in cells(Study("", "", grid))]
    for place in places:
        write_run(place.folder, config=place.cell.settings())
        (place.folder / "report.html").write_text("")
    frame = gathered.frame("x", places, gathered.runs(places))
    found = frame.reindex(columns=["recall@20_p_value"])["recall@20_p_value"]
    assert list(found.notna()) == [False, compared]


def test_cells_of_other_data_are_not_compared_and_say_so(finished):
    """The same config, but its file had more lines when the later cell ran."""
    config = finished[2].folder / "config.json"
    settings = json.loads(config.read_text())
    settings["data"]["fingerprint"] = "e" * 64
    config.write_text(json.dumps(settings))
    frame = gathered.frame("x", finished, gathered.runs(finished))
    assert (
        list(frame["recall@20_p_value"].notna()) == [False] * 3 + [True] + [False] * 2
    )
    assert "Its data are not those of the dense cell" in frame["warnings"][2]
    assert frame["warnings"][3] == ""


def test_a_method_by_its_other_spelling(tmp_path):
    grid = {"config": "configs/mf.py:demo", "method.name": "item-knn"}
    places = [Place(tmp_path, cell) for cell in cells(Study("", "", [grid]))]
    assert list(gathered.frame("x", places, {})["sparsity"]) == [0.0]


def test_known_comparisons_are_not_made_again(finished):
    known = {}
    first = gathered.frame("x", finished, gathered.runs(finished), known)
    assert len(known) == 2
    for folders in known:
        known[folders] = {"recall@20_p_value": 0.125}
    again = gathered.frame("x", finished, gathered.runs(finished), known)
    assert list(again["recall@20_p_value"][2:4]) == [0.125] * 2
    assert (first["recall@20_p_value"][2:4] < 0.01).all()


def test_methods_without_steps_have_no_cost_as_the_paper_counts(of_passes):
    for place in of_passes:
        file = place.folder / "cost.json"
        cost = json.loads(file.read_text())
        steps = 0 if place is of_passes[1] else 10
        cost["training"]["steps"] = steps
        cost["training"]["passes"][1]["steps"] = steps
        file.write_text(json.dumps(cost))
    frame = gathered.frame("x", of_passes, gathered.runs(of_passes))
    for column in ("cost.as_published.training_macs", "as_published_share"):
        assert list(frame[column].notna()) == [True, False]


def test_an_axis_of_tuples_is_told_as_text(tmp_path):
    layers = ((32, 16), (64,))
    grid = {"config": "configs/neumf.py:demo", "model.mlp_layers": layers}
    places = [Place(tmp_path, cell) for cell in cells(Study("", "", [grid]))]
    frame = gathered.frame("x", places, {})
    assert list(frame["model.mlp_layers"]) == ["32, 16", "64"]


def test_cells_of_one_dense_cell_share_its_resamples(finished, monkeypatch):
    drawn = []
    draw = intervals._resampled_means
    monkeypatch.setattr(
        intervals,
        "_resampled_means",
        lambda *each: drawn.append(len(each[0])) or draw(*each),
    )
    found = gathered.runs(finished)
    gathered.frame("small-full", finished, found)
    # Two metrics of the one DSL cell that each seed's dense cell has so far.
    assert drawn == [2, 2]


def test_a_damaged_run_is_told_and_the_others_are_there(finished):
    """Nothing was written any more, of no cell."""
    (finished[2].folder / "per_user.npz").unlink()
    found = gathered.runs(finished)
    frame = gathered.frame("small-full", finished, found).set_index("cell")
    row = frame.loc[finished[2].cell.name]
    assert "per_user.npz" in row["warnings"]
    assert f"Without the folder {finished[2].folder}" in row["warnings"]
    assert np.isnan(row["recall@20"])
    assert frame["recall@20"].notna().sum() == 3
