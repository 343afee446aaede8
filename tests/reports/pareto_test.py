import matplotlib.image
import pandas as pd
import pytest

from dsl_tf.errors import UserError
from dsl_tf.reports import pareto
from dsl_tf.reports.runs import read_run


@pytest.fixture
def runs(make_run):
    """Two methods with files of two value types, and one that exports nothing."""

    def made(name, method, sizes):
        quality = {file: {"recall@20": recall} for file, (_, recall) in sizes.items()}
        bytes_ = {file: size for file, (size, _) in sizes.items()}
        return read_run(
            make_run(
                name,
                config={"method": {"name": method}},
                cost={"files": bytes_, "files_metrics": quality},
            )
        )

    return [
        made(
            "dense",
            "dense",
            {
                "model.tflite": (400_000, 0.30),
                "model_int8.tflite": (100_000, 0.29),
                "saved_model": (500_000, 0.30),
            },
        ),
        made(
            "dsl",
            "dsl",
            {"model.tflite": (100_000, 0.28), "model_int8.tflite": (50_000, 0.27)},
        ),
        made("ease", "ease", {}),
    ]


def test_points_are_the_measured_tflite_files(runs):
    found = pareto.points(runs, "recall@20")
    assert list(found["bytes"]) == [50_000, 100_000, 100_000, 400_000]
    assert set(found["method"]) == {"dense", "dsl"}
    assert "saved_model" not in set(found["file"])


def test_front_by_hand(runs):
    best = pareto.front(pareto.points(runs, "recall@20"), "recall@20")
    # The sparse float32 file is as large as the dense int8 one, which is better.
    assert list(zip(best["bytes"], best["recall@20"], strict=True)) == [
        (50_000, 0.27),
        (100_000, 0.29),
        (400_000, 0.30),
    ]
    larger = pd.DataFrame({"bytes": [1, 2, 2], "recall@20": [0.2, 0.1, 0.2]})
    assert len(pareto.front(larger, "recall@20")) == 1


def test_every_method_is_on_the_picture(runs, tmp_path):
    drawn = pareto.figure(runs, "recall@20")
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    # The best file is of dense.
    assert labels == ["dense", "dsl", "float32", "int8"]
    (axis,) = drawn.axes
    lines = [line.get_xydata().tolist() for line in axis.lines if line.get_lw() == 1.2]
    # The front of a method, and not of all.
    assert lines == [
        [[100_000, 0.29], [400_000, 0.30]],
        [[50_000, 0.27], [100_000, 0.28]],
    ]
    assert [text.get_text() for text in axis.texts] == ["ease"]
    file = tmp_path / "pareto.png"
    pareto.write(runs, "recall@20", file)
    assert matplotlib.image.imread(file).shape[1] > 1000


def test_mistakes(runs, tmp_path):
    with pytest.raises(
        UserError, match=r"must end in one of .*png.* Received: .*x\.doc"
    ):
        pareto.write(runs, "recall@20", tmp_path / "x.doc")
    with pytest.raises(UserError, match="needs a run with measured"):
        pareto.figure(runs[2:], "recall@20")
