"""In which order cells run; that they do: tests/study_test.py."""

from dsl_tf.studies.cells import Place
from dsl_tf.studies.grid import cells
from dsl_tf.studies.plan import Study
from dsl_tf.studies.runner import in_order


def test_files_take_turns(tmp_path):
    grid = (
        {"config": ("configs/mf.py:demo", "configs/neumf.py:demo")},
        {"config": "configs/mf.py:demo", "sparsity.target": (0.8, 0.9)},
    )
    places = [Place(tmp_path, cell) for cell in cells(Study("", "", grid))]
    assert [place.cell.name for place in in_order(places, 2)] == [
        "mf-demo-seed0",
        "neumf-demo-seed0",
        "mf-demo-0.8-seed0",
        "mf-demo-0.9-seed0",
    ]
    assert in_order([], 2) == []
    assert in_order(places, 1) == places
