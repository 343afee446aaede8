import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.errors import UserError
from dsl_tf.export import tflite
from dsl_tf.export.artefacts import FACTORED, FORMATS, export_model
from dsl_tf.export.vocabulary import read_ids
from dsl_tf.files import size

NUM_USERS, NUM_ITEMS = 900, 2600


def test_files_are_where_the_protocol_wants_them(exported, run_folder, dot_product):
    names = {*FORMATS.values(), "vocabulary"} - {FACTORED}
    assert {path.name for path in run_folder.iterdir()} == names
    assert (run_folder / "saved_model" / "saved_model.pb").is_file()
    for name, count in exported.files.items():
        assert count == size(run_folder / name)
    items = read_ids(run_folder / "vocabulary" / "items.txt")
    np.testing.assert_array_equal(items, dot_product.split.item_ids)


def bitmap_bytes(table, value_bytes, scale_bytes):
    """By the formula of the documentation, for 80 % of zeros in 64 columns."""
    rows, width = table.shape
    groups = (rows + 1 + 63) // 64 + 1
    values = np.count_nonzero(table) + 1
    offsets = 4 * groups + 2 * 64 * groups
    return int(values * value_bytes + offsets + rows * (width // 8 + scale_bytes))


def chosen_bytes(table, value_bytes, scale_bytes):
    """Dense where a bitmap saves less than the 11,000 bytes of what reads it."""
    rows, width = table.shape
    dense = int(rows * (width * value_bytes + scale_bytes))
    bitmap = bitmap_bytes(table, value_bytes, scale_bytes)
    return min(dense, bitmap, key=lambda size: size + 11_000 * (size == bitmap))


@pytest.mark.parametrize(
    ("name", "value_bytes", "scale_bytes"),
    [
        ("saved_model", 4, 0),
        ("model.tflite", 4, 0),
        ("model_fp16.tflite", 2, 0),
        ("model_int8.tflite", 1, 2),
        ("model_int4.tflite", 0.5, 2),
    ],
)
def test_files_are_as_large_as_their_tables(
    exported, dot_product, name, value_bytes, scale_bytes
):
    """Also guards against a decoding that the converter folds to float32."""
    detail = exported.files_detail[name]
    users, items = (table.copy() for table in dot_product.tables())
    users[0] = 0  # has no training items
    expected = sum(chosen_bytes(t, value_bytes, scale_bytes) for t in (users, items))
    # A pair of half-size numbers may be half empty; some codes become zero.
    assert expected * (0.85 if "int" in name else 1) - 4 < detail["tables"]
    assert detail["tables"] <= expected + 4
    assert sum(detail.values()) == exported.files[name]
    ranking = 2 * NUM_ITEMS  # popularity, int16
    graph = 350_000 if name == "saved_model" else 120_000
    assert ranking < detail["other"] < ranking + graph


@pytest.mark.parametrize(("layout", "kind"), [("small", 8), ("fast", 64 * 0.2)])
def test_a_layout_is_chosen(dot_product, tmp_path, monkeypatch, layout, kind):
    """The fast one has a byte a non-zero for its column, not a bit a position."""
    monkeypatch.setattr(tflite, "convert", lambda device, path: path.touch())
    exported = export_model(
        dot_product.backbone,
        dot_product.split,
        tmp_path,
        layout=layout,
        users="none",
        formats=("tflite",),
    )
    table = dot_product.tables()[1]
    values = 4 * np.count_nonzero(table)
    index = exported.files_detail["model.tflite"]["tables"] - values
    assert index / len(table) == pytest.approx(2 + kind, rel=0.05)


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
    assert tables <= bitmap_bytes(dot_product.tables()[1], 1, 2) + 4
    assert exported.files["model_int8.tflite"] < tables + 80_000


@pytest.mark.parametrize(
    ("name", "value_bytes", "scale_bytes"),
    [("saved_model", 4, 0), ("model.tflite", 4, 0), ("model_int8.tflite", 1, 2)],
)
def test_an_autoencoders_files_hold_its_input_rows(
    vae, vae_exported, name, value_bytes, scale_bytes
):
    """Packed, in place of the SavedModel's and beside the devices' user vectors."""
    detail = vae_exported.files_detail[name]
    backbone = vae.backbone
    tables = (backbone.inputs.numpy(), backbone.outputs.numpy())
    expected = sum(bitmap_bytes(table, value_bytes, scale_bytes) for table in tables)
    if name != "saved_model":  # 15 numbers each, dense
        expected += backbone.num_users * (15 * value_bytes + scale_bytes)
    assert detail["tables"] == pytest.approx(expected, rel=0.01)
    kernel = 32 * 15
    assert detail["network"] == 4 * kernel
    assert sum(detail.values()) == vae_exported.files[name]
    graph = 350_000 if name == "saved_model" else 160_000
    assert 2 * 1500 < detail["other"] < 2 * 1500 + graph


def test_what_of_a_history_is_encoded_is_counted(vae, vae_exported):
    pairs, users = len(vae.split.train) + len(vae.split.validation), 40
    expected = 4 * (pairs + users + 1) + 4 * users
    assert vae_exported.files_detail["saved_model"]["histories"] == expected
    assert vae_exported.files_detail["model.tflite"]["histories"] == 0


@pytest.mark.parametrize(
    ("argument", "rule"),
    [
        ({"k": 0}, "`export.k` must be at least 1. Received: export.k=0."),
        ({"users": "some"}, "`export.users` must be all or none."),
        (
            {"layout": "big"},
            "`export.layout` must be one of small, fast. Received: 'big'.",
        ),
        ({"formats": ("onnx",)}, "`export.formats` must be some of saved_model, "),
        ({"table_bytes": -1}, "`export.table_bytes` must be at least 0."),
        (
            {"formats": (FACTORED,)},
            "`export.formats` may have saved_model_factored where vectors are "
            "propagated over a graph (model.name=lightgcn).",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_written(tied, tmp_path, argument, rule):
    with pytest.raises(UserError) as error:
        export_model(tied.backbone, tied.split, tmp_path, **argument)
    assert str(error.value).startswith(rule)
    assert not list(tmp_path.iterdir())


def test_an_autoencoders_tables_are_not_cut(vae, tmp_path):
    with pytest.raises(UserError, match=r"`export\.table_bytes` must be 0 where user"):
        export_model(vae.backbone, vae.split, tmp_path, table_bytes=10_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", ["small", "fast"])
def test_tables_within_bytes(dot_product, tmp_path, layout):
    limit = 60_000
    formats = ["saved_model", "tflite_int8"]
    exported = export_model(
        dot_product.backbone,
        dot_product.split,
        tmp_path,
        formats=formats,
        layout=layout,
        table_bytes=limit,
    )
    for detail in exported.files_detail.values():
        assert 0.99 * limit < detail["tables"] <= limit
    # A file without users has all the bytes for items.
    exported = export_model(
        dot_product.backbone,
        dot_product.split,
        tmp_path,
        formats=formats[1:],
        layout=layout,
        users="none",
        table_bytes=35_000,
    )
    assert 34_600 < exported.files_detail["model_int8.tflite"]["tables"] <= 35_000


@pytest.mark.parametrize(
    "case",
    ["dot_product", "cdae", pytest.param("sparse_neumf", marks=pytest.mark.slow)],
)
def test_metrics_are_those_of_the_files_numbers(case, tmp_path, rounded, request):
    """Of every user, also of those for whom popularity stands in."""
    case = request.getfixturevalue(case)
    scores = {}

    def measure(score):
        users = tf.range(case.backbone.num_users)
        scores[len(scores)] = tf.function(score)(users).numpy()
        return {"n": len(scores)}

    exported = export_model(
        case.backbone,
        case.split,
        tmp_path,
        formats=["saved_model", "tflite_int8"],
        measure=measure,
    )
    assert exported.files_metrics == {
        "saved_model": {"n": 1},
        "model_int8.tflite": {"n": 2},
    }
    for user in range(case.backbone.num_users):
        np.testing.assert_allclose(
            scores[0][user], case.scores(user), rtol=1e-4, atol=1e-4
        )
        seen = {"user_id": [user], "seen": [[-1]]}
        seen = {name: np.array(value, np.int32) for name, value in seen.items()}
        if user < 4:
            top = tflite.run(tmp_path / "model_int8.tflite", "recommend", **seen)
            np.testing.assert_allclose(
                scores[1][user][top["item_ids"][0]],
                top["scores"][0],
                rtol=1e-3,
                atol=1e-3,
            )


def test_a_file_without_users_has_no_metrics(dot_product, tmp_path):
    exported = export_model(
        dot_product.backbone,
        dot_product.split,
        tmp_path,
        formats=["tflite"],
        users="none",
        measure=lambda score: {"recall@20": 0.0},
    )
    assert exported.files_metrics == {}
