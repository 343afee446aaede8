"""Studies, and those that the package brings."""

import subprocess
import sys

import pytest

from dsl_tf import config_files, plugins
from dsl_tf.errors import UserError
from dsl_tf.studies import plan
from dsl_tf.studies.grid import cells
from dsl_tf.studies.plan import read

FILE = "configs/mf.py:demo"


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
        "import sys; from dsl_tf.studies import grid, plan;"
        "grid.cells(plan.read('configs/studies/figure2.py:quick')[1]);"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


TABLE = 'Table("t", "T.", rows=("method",))'


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ('grid={"config": "configs/mf.py:demo"}', r"`grid` .* sequence of blocks"),
        (f"exhibits=({TABLE})", r"`exhibits` .* sequence of exhibits, .*Received: Tab"),
        ("seeds=0", r"`seeds` .* sequence of numbers from 0.* Received: int, 0\."),
        ("seeds=(0, -1)", r"`seeds` .* numbers from 0\. Received: \(0, -1\)\."),
        (f"exhibits=({TABLE}, {TABLE})", r"names of their own.* Received: t\."),
        (
            'exhibits=(Table("t", "T.", rows=("method")),)',
            r"`rows` of the exhibit t .*\('method',\)`\. Received: 'method'\.",
        ),
        (
            'exhibits=(Lines("l", "L.", "sparsity", "recall@20", by="method"),)',
            r"`by` of the exhibit l must be a sequence",
        ),
    ],
)
def test_a_mistake_in_a_study_is_one_line(tmp_path, keys, rule):
    grid = "" if keys.startswith("grid") else f'grid=({{"config": "{FILE}"}},), '
    file = tmp_path / "mine.py"
    file.write_text(
        "from dsl_tf.studies.curves import Lines\n"
        "from dsl_tf.studies.plan import Study\n"
        "from dsl_tf.studies.tables import Table\n"
        f"def get_config(size): return Study('', '', {grid}{keys})\n"
    )
    with pytest.raises(UserError, match=rule) as error:
        read(str(file))
    assert "\n" not in str(error.value)
