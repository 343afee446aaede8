"""Which runs a study has."""

import dataclasses
import shlex
import subprocess
import sys

import pytest

from dsl_tf import config_files, flags, plugins
from dsl_tf.errors import UserError
from dsl_tf.studies import plan
from dsl_tf.studies.plan import Study, cells, only, read

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


def _shipped():
    folder = config_files.find("configs/studies/table2.py").parent
    names = [path.stem for path in sorted(folder.glob("*.py"))]
    return [name for name in names if name not in ("__init__", "base")]


def test_what_the_package_brings():
    assert set(_shipped()) >= {"table2", "table3", "table4", "pareto"}
    assert set(_shipped()) >= {f"figure{number}" for number in (2, 3, 4, 5)}


@pytest.mark.parametrize("size", plan.SIZES)
@pytest.mark.parametrize("name", _shipped())
def test_every_study_of_the_package_is_sound(name, size):
    label, study = read(f"configs/studies/{name}.py:{size}")
    assert label == f"{name}-{size}"
    found = cells(study, seeds=[0])
    assert found
    assert study.exhibits
    assert len({exhibit.name for exhibit in study.exhibits}) == len(study.exhibits)
    for cell in found:
        plugins.find("dsl_tf.data.datasets", cell.config.data.name, "data set")
        plugins.find("dsl_tf.backbones", cell.config.model.name, "backbone")
        plugins.find("dsl_tf.methods", cell.config.method.name, "method")
    if size == "quick":
        assert {cell.config.data.name for cell in found} == {"demo", "ml-100k"}


def test_table_3_has_every_method():
    found = cells(read("configs/studies/table3.py:quick")[1])
    named = {cell.config.method.name.replace("_", "-") for cell in found}
    assert named == set(plugins.names("dsl_tf.methods"))


def test_a_wrong_file_or_size(tmp_path):
    with pytest.raises(UserError, match=r"quick, full. Received: small"):
        read("configs/studies/table2.py:small")
    with pytest.raises(UserError, match=r"configs/studies/table2\.py"):
        read("configs/studies/table9.py")
    with pytest.raises(UserError, match=r"must return a dsl_tf\.studies\.plan\.Study"):
        read("configs/mf.py:full")


def test_planning_needs_no_tensorflow():
    code = (
        "import sys; from dsl_tf.studies import plan;"
        "plan.cells(plan.read('configs/studies/figure2.py:quick')[1]);"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
