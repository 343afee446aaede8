"""Which runs a study has."""

import dataclasses
import shlex

import pytest

from dsl_tf import config_files, flags
from dsl_tf.errors import UserError
from dsl_tf.studies.grid import cells, only
from dsl_tf.studies.plan import Study
from dsl_tf.tuning.best import Best

FILE = "configs/mf.py:demo"


def _names(found):
    return [cell.name for cell in found]


def test_blocks_are_products_and_seeds_come_last(study):
    assert _names(cells(study)) == [
        "mf-demo-dense-seed0",
        "mf-demo-dense-seed1",
        "mf-demo-dsl-0.5-seed0",
        "mf-demo-dsl-0.5-seed1",
        "mf-demo-dsl-0.8-seed0",
        "mf-demo-dsl-0.8-seed1",
    ]


def test_a_cell_is_a_command_of_its_config(study):
    cell = cells(study)[-1]
    assert (cell.config.sparsity.target, cell.config.train.epochs) == (0.8, 2)
    assert cell.config.seeds == (1,)
    command = shlex.split(cell.command)
    assert command[:3] == ["python", "-m", "dsl_tf.main"]
    assert "--config=configs/mf.py:demo" in command
    assert "--config.sparsity.target=0.8" in command
    # Not the cell's own folder, which holds a run.
    assert command[-1] == f"--output_dir=saved_models/{cell.name}"
    parsed = flags.parse(["main", *command[3:]])
    assert parsed.config.to_json() == cell.config.to_json()


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"grid": ()}, "Received: none"),
        ({"seeds": ()}, r"seed=\(\)"),
        ({"grid": ({"config": FILE, "export.formats": ()},)}, r"export.formats=\(\)"),
    ],
)
def test_nothing_to_run_is_told(study, changes, received):
    """A block with an empty axis was gone without a word."""
    with pytest.raises(UserError, match=received):
        cells(dataclasses.replace(study, **changes))


def test_a_cell_of_two_blocks_is_one(study):
    twice = dataclasses.replace(study, grid=(*study.grid, study.grid[0]))
    assert _names(cells(twice)) == _names(cells(study))


def test_what_is_set_for_all_wins_and_is_not_in_names(study):
    found = cells(study, ["train.epochs=7", "export.formats=()"], seeds=[5])
    assert {cell.config.train.epochs for cell in found} == {7}
    assert {cell.config.export.formats for cell in found} == {()}
    assert _names(found)[0] == "mf-demo-dense-seed5"


def test_tuples_are_axes_and_tuples_in_them_values():
    grid = ({"config": FILE, "evaluation.cutoffs": ((5, 20), (10,)), "seed": 3},)
    found = cells(Study("", "", grid))
    assert [cell.config.evaluation.cutoffs for cell in found] == [(5, 20), (10,)]
    assert len(set(_names(found))) == 2
    assert {cell.seed for cell in found} == {3}


def test_a_name_that_two_cells_would_have_is_refused(tmp_path):
    text = config_files.find("configs/mf.py").read_text()
    other = tmp_path / "mf.py"
    other.write_text(text.replace("embedding_dim = 64", "embedding_dim = 32"))
    grid = ({"config": FILE}, {"config": f"{other}:demo"})
    with pytest.raises(UserError, match=r"must differ.*both mf-demo-seed0"):
        cells(Study("", "", grid))


@pytest.mark.parametrize(
    ("grid", "settings", "rule"),
    [
        (({"method.name": "dsl"},), [], "must have `config`"),
        (({"config": "configs/nmf.py"},), [], "config file must exist"),
        (({"config": FILE, "train.epoch": 3},), [], "Did you mean train.epochs"),
        (({"config": FILE, "train.epochs": "few"},), [], "must be an integer"),
        (({"config": FILE},), ["train.epochs"], "KEY=VALUE"),
        (({"config": FILE},), ["train.epochs=few"], "must be an integer"),
        (
            ({"config": FILE},),
            ["seeds=3"],
            r"--seeds=0,1 sets them.* Received: seeds=3\.",
        ),
        (
            ({"config": FILE, "seeds": 3},),
            [],
            r"axis `seed` .* Received: seeds=3\.",
        ),
        (
            ({"config": FILE, "sparsity.target": (0.5, 0.8)},),
            ["sparsity.target=0.9"],
            r"Received: sparsity\.target=0\.9, in the grid .*\(0\.5,0\.8,\)\.",
        ),
        (
            ({"config": FILE},),
            ["data.path=mine.csv"],
            r"where all are `:own`\. Received: data\.path=mine\.csv, for .*:demo\.",
        ),
        (
            ({"config": (FILE, "configs/mf.py:own")},),
            ["data.name=gowalla"],
            r"Received: data\.name=gowalla, for .*:demo\.",
        ),
        (
            ({"config": FILE, "evaluation.cutoffs": (tuple(range(1, 70)),)},),
            [],
            r"must have at most 200 characters.* Received: 2\d\d, mf-demo-cutoffs",
        ),
        (
            ({"config": FILE, "method.name": ("dsl", "dls")},),
            [],
            "The method must be one of autoemb, .* Received: 'dls'",
        ),
    ],
)
def test_a_mistake_in_the_grid_is_one_line(grid, settings, rule):
    with pytest.raises(UserError, match=rule) as error:
        cells(Study("", "", grid), settings)
    assert "\n" not in str(error.value)


def test_only(study):
    found = cells(study)
    assert _names(only(found, ["*-0.8-*", "*dense-seed0"])) == [
        "mf-demo-dense-seed0",
        "mf-demo-dsl-0.8-seed0",
        "mf-demo-dsl-0.8-seed1",
    ]
    with pytest.raises(UserError, match=r"mf-demo-dense-seed0. Received: \*ease\*"):
        only(found, ["*ease*"])


def _best(folder, fixed, **settings):
    settings = {key.replace("__", "."): each for key, each in settings.items()}
    return Best(folder, FILE, fixed, settings, value=0.3, trial=2)


def test_cells_have_the_values_of_their_search_and_keep_their_own(study, tmp_path):
    searches = [
        _best(tmp_path / "all", {}, train__learning_rate=0.5, train__epochs=9),
        _best(
            tmp_path / "dsl",
            {"method.name": "dsl", "sparsity.target": 0.8, "seeds": (3,)},
            train__learning_rate=0.25,
            model__embedding_dim=7,
        ),
    ]
    found = cells(study, ["train.batch_size=64"], searches=searches)
    assert _names(found) == _names(cells(study))
    rates = [cell.config.train.learning_rate for cell in found]
    assert rates == [0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    # What the study says, or the command, stays; what nobody says is the file's.
    assert {cell.config.train.epochs for cell in found} == {2}
    assert {cell.config.train.batch_size for cell in found} == {64}
    assert [cell.config.model.embedding_dim for cell in found[3:]] == [64, 7, 7]
    assert [cell.config.seeds for cell in found[:2]] == [(0,), (1,)]
    assert {cell.search for cell in found[:4]} == {str(tmp_path / "all")}
    assert found[4].search == str(tmp_path / "dsl")
    # The command is of the values; the config without them tells what to compare with.
    parsed = flags.parse(["main", *shlex.split(found[4].command)[3:]]).config
    assert parsed.to_json() == found[4].config.to_json()
    plain = cells(study, ["train.batch_size=64"])
    assert [c.untuned.to_json() for c in found] == [c.config.to_json() for c in plain]
    assert {cell.search for cell in plain} == {""}


def test_an_axis_of_the_grid_is_not_tuned(tmp_path):
    rates = (0.1, 0.2)
    study = Study("", "", ({"config": FILE, "train.learning_rate": rates},))
    found = cells(study, searches=[_best(tmp_path, {}, train__learning_rate=0.5)])
    assert [cell.config.train.learning_rate for cell in found] == [0.1, 0.2]
