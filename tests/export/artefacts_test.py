import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.export.artefacts import FORMATS, export_model
from dsl_tf.export.vocabulary import read_ids
from dsl_tf.files import size

NUM_USERS, NUM_ITEMS, WIDTH = 900, 2600, 64


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def exported(dot_product, run_folder):
    return export_model(dot_product.backbone, dot_product.split, run_folder)


def test_files_are_where_the_protocol_wants_them(exported, run_folder, dot_product):
    names = {*FORMATS.values(), "vocabulary"}
    assert {path.name for path in run_folder.iterdir()} == names
    assert (run_folder / "saved_model" / "saved_model.pb").is_file()
    for name, count in exported.files.items():
        assert count == size(run_folder / name)
    items = read_ids(run_folder / "vocabulary" / "items.txt")
    np.testing.assert_array_equal(items, dot_product.split.item_ids)


@pytest.mark.parametrize(
    ("name", "row_bytes"),
    [
        ("saved_model", 4 * WIDTH),
        ("model.tflite", 4 * WIDTH),
        ("model_fp16.tflite", 2 * WIDTH),
        ("model_int8.tflite", WIDTH + 4),
    ],
)
def test_files_are_as_large_as_their_tables(exported, name, row_bytes):
    """Also guards against a decoding that the converter folds to float32."""
    detail = exported.files_detail[name]
    assert detail["tables"] == (NUM_USERS + NUM_ITEMS) * row_bytes
    assert sum(detail.values()) == exported.files[name]
    ranking = 2 * 2 * NUM_ITEMS  # order and popularity, int16
    graph = 250_000 if name == "saved_model" else 60_000
    assert ranking < detail["other"] < ranking + graph


def test_histories_are_counted(exported, dot_product):
    pairs = len(dot_product.split.train) + len(dot_product.split.validation)
    expected = 4 * (pairs + NUM_USERS + 1)
    for name, detail in exported.files_detail.items():
        assert detail["histories"] == (expected if name == "saved_model" else 0)


def test_without_users_the_file_holds_items_only(dot_product, tmp_path):
    exported = export_model(
        dot_product.backbone,
        dot_product.split,
        tmp_path,
        users="none",
        formats=("tflite_int8",),
    )
    assert set(exported.files_detail) == {"model_int8.tflite"}
    tables = exported.files_detail["model_int8.tflite"]["tables"]
    assert tables == NUM_ITEMS * (WIDTH + 4)
    assert exported.files["model_int8.tflite"] < tables + 60_000


@pytest.mark.parametrize(
    ("argument", "rule"),
    [
        ({"k": 0}, "`export.k` must be at least 1. Received: export.k=0."),
        ({"users": "some"}, "`export.users` must be all or none."),
        ({"formats": ("onnx",)}, "`export.formats` must be some of saved_model, "),
    ],
)
def test_mistakes_are_told_before_anything_is_written(tied, tmp_path, argument, rule):
    with pytest.raises(UserError) as error:
        export_model(tied.backbone, tied.split, tmp_path, **argument)
    assert str(error.value).startswith(rule)
    assert not list(tmp_path.iterdir())
