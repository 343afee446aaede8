"""What cells will take."""

import json

import pytest

from dsl_tf import config_files
from dsl_tf.export.sizes import DeviceSizes
from dsl_tf.studies.cells import Place
from dsl_tf.studies.estimates import Planned, Planner
from dsl_tf.studies.grid import cells
from dsl_tf.studies.plan import Study


@pytest.fixture
def plan(small_csv, tmp_path):
    """Plans cells of MF on small data: 2 epochs of 13 steps."""

    def make(**keys):
        keys = {"config": "configs/mf.py:own", **keys}
        common = {
            "data.path": str(small_csv),
            "train.epochs": 2,
            "train.batch_size": 1000,
        }
        (cell,) = cells(Study("", "", (keys,), keys=common))
        return Planner([Place(tmp_path, cell)]).plan_or_error(cell)

    return make


def test_passes_and_macs_of_methods(plan):
    dense = plan(**{"method.name": "dense"})
    assert dense.passes == 1
    assert dense.seconds > 30
    refit = plan(**{"method.name": "dense", "train.refit": True})
    assert (refit.passes, refit.macs) == (2, 2 * dense.macs)
    sparse = plan(**{"method.name": "random_pruning", "sparsity.target": 0.5})
    # Half the weights have a quarter of the products, and half of Adam's.
    assert 0.25 * dense.macs < sparse.macs < 0.5 * dense.macs
    # It takes as many steps, and no step is faster for it on small data.
    assert sparse.seconds == dense.seconds
    pruned = plan(**{"method.name": "magnitude_pruning", "sparsity.target": 0.5})
    assert pruned.passes == 2
    assert pruned.macs == pytest.approx(dense.macs + sparse.macs, rel=0.02)


def test_a_pretraining_takes_what_its_own_steps_take(plan):
    keys = {"config": "configs/convncf.py:own", "method.name": "dsl"}
    keys |= {"model.embedding_dim": 32, "model.channels": 16}
    alone = plan(**keys, **{"model.pretraining_epochs": 0})
    after = plan(**keys, **{"model.pretraining_epochs": 10})
    assert (alone.passes, after.passes) == (1, 2)
    # Five times the steps, of a two-hundredth of the multiply-accumulates.
    assert after.seconds - 30 < 1.2 * (alone.seconds - 30)


@pytest.mark.parametrize("method", ["ease", "item_knn", "popularity", "mag_prune"])
def test_what_is_counted_or_chosen_is_not_waited_for(plan, method):
    planned = plan(**{"method.name": method})
    assert isinstance(planned, Planned)
    assert planned.passes >= 1


def test_what_is_solved_does_not_take_as_long_as_training(plan):
    """A product of matrices is a tenth of a second for a thousand million."""
    ease = plan(**{"method.name": "ease"})
    assert ease.seconds - 30 == pytest.approx(ease.macs * 1e-10)
    # LightGCN's steps have another rate.
    graph = {"config": "configs/lightgcn.py:own", "method.name": "ease"}
    assert plan(**graph).seconds == ease.seconds


@pytest.mark.slow
def test_macs_are_those_of_the_run(small_config, small_csv, tmp_path):
    from dsl_tf import experiment

    config = config_files.load(config_files.find("mf.py"), "own")
    config.data.path = str(small_csv)
    config.train.update(epochs=2, batch_size=1000, patience=0)
    config.method.name = "dense"
    config.export.formats = ()
    experiment.train(config.lock(), tmp_path / "run")
    cost = json.loads((tmp_path / "run" / "cost.json").read_text())
    keys = {"data.path": str(small_csv), "train.epochs": 2, "train.batch_size": 1000}
    keys |= {"train.patience": 0, "method.name": "dense"}
    (cell,) = cells(Study("", "", ({"config": "configs/mf.py:own"},), keys=keys))
    assert Planner([]).plan(cell).macs == cost["training"]["macs"]


def test_finished_cells_tell_how_fast_the_others_are(places, finish):
    """Whatever the method: DSL has few multiply-accumulates, and as many steps."""
    dense, dsl = places[0], places[2]
    first = Planner([]).plan(dense.cell)
    finish(dense)
    file = dense.folder / "cost.json"
    cost = json.loads(file.read_text())
    steps = 1000
    one = {"steps": steps, "macs": 10, "seconds": 77.0}
    before = {"steps": 9, "macs": 10**12, "seconds": 5000.0, "read_from": "a teacher"}
    cost["training"] |= {"passes": [before, one]}
    file.write_text(json.dumps(cost))
    planner = Planner(places)
    again = planner.plan(dense.cell)
    assert (again.macs, again.passes) == (first.macs, first.passes)
    ours = planner.plan(dsl.cell)
    assert ours.macs < first.macs
    assert ours.seconds == pytest.approx(again.seconds)
    # 2 epochs of so many steps, and the time beside.
    taken = 77.0 / steps * _steps(dense.cell)
    assert again.seconds == pytest.approx(taken + 30)


def _steps(cell):
    from dsl_tf import data
    from dsl_tf.methods import _models, dense

    split = data.load_split(cell.config.data)
    tables = dense.make_tables(cell.config, split, 0)
    _, batches = _models.make_model(split, cell.config, tables, 0)
    return 2 * batches.steps_per_epoch


def test_a_budget_in_bytes_is_planned(plan):
    keys = {"method.name": "dsl", "budget.bytes": 60_000}
    planned = plan(**keys, **{"model.embedding_dim": 24})
    assert isinstance(planned, Planned), planned
    assert planned.macs > 0


def test_a_cell_that_would_be_refused_says_why(plan):
    said = plan(**{"method.name": "quantised", "method.quantised.bits": 3})
    assert "`method.quantised.bits` must be one of" in said
    assert "Received: 3" in said


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({"method.name": "dsl", "sparsity.update_interval": 26}, "below the step"),
        (
            {"method.name": "gradual_magnitude", "sparsity.target": 0.5},
            "`method.gradual_magnitude.frequency` must be",
        ),
    ],
)
def test_a_schedule_that_does_not_fit_the_steps_is_told_before_a_run(plan, keys, rule):
    assert rule in plan(**keys)


@pytest.fixture
def planned(small_csv, tmp_path):
    """Plans cells of MF on small data with one planner, some of them done."""

    def make(*each, done=(), path=small_csv):
        keys = {"data.path": str(path), "train.epochs": 2, "train.batch_size": 1000}
        grid = tuple({"config": "configs/mf.py:own", **keys, **one} for one in each)
        planner = Planner(done)
        return [planner.plan_or_error(cell) for cell in cells(Study("", "", grid))]

    return make


def test_the_rest_of_a_file_is_found_once(planned, monkeypatch):
    """By a conversion, which takes seconds: a plan of 36 cells had 53 of them."""
    found = []
    rest = DeviceSizes._rest
    monkeypatch.setattr(
        DeviceSizes, "_rest", lambda *each: found.append(each) or rest(*each)
    )
    budget = {"budget.bytes": 60_000, "model.embedding_dim": 24}
    first = {"method.name": "dsl", **budget}
    alone = planned(first)
    once = len(found)
    found.clear()
    several = planned(
        first,
        {"method.name": "random_pruning", **budget},
        {"method.name": "dsl", **budget, "model.embedding_dim": 20},
    )
    assert several[0] == alone[0]
    assert all(isinstance(each, Planned) for each in several)
    made = [(each[1], sorted(each[0]._layouts.items())) for each in found]
    assert once <= len(made) <= once + 1


def test_steps_are_those_of_the_optimiser(planned):
    """That of the cell before was taken, 2.6 times as dear."""
    rows = {"method.name": "dense", "optimizer.name": "lazy_adam"}
    all_rows = {"method.name": "dense", "optimizer.name": "adam"}
    (alone,) = planned(rows)
    assert planned(all_rows, rows)[1] == alone


def test_a_finished_cell_whose_data_are_gone_says_nothing(planned, finish, tmp_path):
    keys = {"data.path": str(tmp_path / "gone.csv"), "method.name": "dense"}
    grid = ({"config": "configs/mf.py:own", **keys},)
    done = Place(tmp_path, cells(Study("", "", grid))[0])
    finish(done)
    one = {"steps": 1000, "macs": 10, "seconds": 77.0}
    file = done.folder / "cost.json"
    cost = json.loads(file.read_text())
    cost["training"] |= {"passes": [one]}
    file.write_text(json.dumps(cost))
    assert planned({"method.name": "dense"}, done=[done]) == planned(
        {"method.name": "dense"}
    )
