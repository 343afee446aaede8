import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from dsl_tf.export.device import DeviceModule
from dsl_tf.export.frozen import freeze
from dsl_tf.export.quantize import quantize_rows
from dsl_tf.export.saved_model import ServingModule
from dsl_tf.export.tflite import FILES, convert, run

K = 20


def half(table):
    return table.astype(np.float16).astype(np.float32)


def int8(table):
    values, scale = quantize_rows(table)
    return values * scale[:, None]


ROUNDING = dict(zip(FILES, (lambda table: table, half, int8), strict=True))


@pytest.fixture(scope="module")
def frozen(neumf):
    return freeze(neumf.backbone, neumf.split, neumf.seed)


@pytest.fixture(scope="module")
def folder(frozen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("neumf")
    for name, store in FILES.items():
        convert(DeviceModule(frozen, store, K), folder / name)
    return folder


@pytest.fixture(scope="module")
def tied_file(tied, tmp_path_factory):
    """Catalogue smaller than k, ties, and no user table."""
    frozen = freeze(tied.backbone, tied.split, tied.seed)
    module = DeviceModule(frozen, FILES["model.tflite"], 7, with_users=False)
    return convert(module, tmp_path_factory.mktemp("tied") / "model.tflite")


def recommend(path, user, seen):
    return run(
        path,
        "recommend",
        user_id=np.array([user], np.int32),
        seen=np.array(seen, np.int32).reshape(1, -1),
    )


def assert_same_ranking(answer, ids, scores):
    """Equal scores, and equal ids wherever neighbours differ by over 1e-4."""
    np.testing.assert_allclose(answer["scores"][0], scores, rtol=1e-5, atol=1e-5)
    with np.errstate(invalid="ignore"):  # -inf less -inf
        gap = -np.diff(scores)
    clear = np.ones(len(scores), bool)
    close = (gap <= 1e-4) & (gap != 0)  # exact ties have an order
    clear[1:] &= ~close
    clear[:-1] &= ~close
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(answer["item_ids"][0][clear], ids[clear])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("user", [0, 3, 2, -1, 9, 2**31 - 1])
def test_rankings_are_those_of_the_stored_tables(neumf, folder, name, user):
    tables = tuple(ROUNDING[name](table) for table in neumf.tables())
    seen = neumf.history(user)
    answer = recommend(folder / name, user, seen)
    assert answer["item_ids"].dtype == np.int32
    assert answer["item_ids"].shape == answer["scores"].shape == (1, K)
    expected = neumf.ranking(neumf.scores(user, tables), seen, K)
    assert_same_ranking(answer, *expected)


def test_rankings_are_those_of_the_saved_model(neumf, frozen, folder):
    served = ServingModule(frozen, K)
    top = served.recommend(tf.range(9, dtype=tf.int64))
    for user in range(9):
        answer = recommend(folder / "model.tflite", user, neumf.history(user))
        assert_same_ranking(
            answer, top["item_ids"][user].numpy(), top["scores"][user].numpy()
        )


@pytest.mark.parametrize(
    "seen",
    [
        [],
        [-1],
        [-1, -1, 5],
        [5] * 300,  # as many as would wrap an 8-bit count
        [2302, 2**31 - 1, -(2**31), 7],
        list(range(2302)),
        list(range(3, 2302)),
    ],
    ids=["empty", "pad", "padded", "repeated", "unknown", "all", "nearly_all"],
)
def test_any_list_of_seen_items(neumf, folder, seen):
    answer = recommend(folder / "model.tflite", 4, seen)
    assert_same_ranking(answer, *neumf.ranking(neumf.scores(4), seen, K))


@pytest.mark.parametrize("name", FILES)
def test_a_vector_ranks_as_its_user(neumf, folder, name):
    vector = ROUNDING[name](neumf.tables()[0][3:4])
    seen = np.array([neumf.history(3)], np.int32)
    answer = run(folder / name, "recommend_vector", user_vector=vector, seen=seen)
    expected = recommend(folder / name, 3, seen)
    np.testing.assert_array_equal(answer["item_ids"], expected["item_ids"])
    np.testing.assert_allclose(answer["scores"], expected["scores"], rtol=1e-6)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("user", "item"),
    [(0, 0), (3, 2301), (2, 1), (-1, 4), (9, 4), (0, -1), (0, 2302), (0, 65_536)],
)
def test_score_of_a_pair(neumf, folder, name, user, item):
    pair = {"user_id": user, "item_id": item}
    answer = run(
        folder / name, "score", **{k: np.array([v], np.int32) for k, v in pair.items()}
    )
    tables = tuple(ROUNDING[name](table) for table in neumf.tables())
    exists = 0 <= item < 2302
    expected = neumf.scores(user, tables)[item] if exists else -np.inf
    np.testing.assert_allclose(answer["score"], [expected], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("vector", "seen"), [([1, 0], []), ([1, 0], [1]), ([0, 0], [2]), ([-1, 0], [3, 0])]
)
def test_ties_and_catalogues_smaller_than_k(tied, tied_file, vector, seen):
    vector = np.array([vector], np.float32)
    scores = vector[0] @ tied.tables()[1].T if vector.any() else tied.scores(-1)
    answer = run(
        tied_file,
        "recommend_vector",
        user_vector=vector,
        seen=np.array([seen], np.int32).reshape(1, -1),
    )
    ids, expected = tied.ranking(scores, seen, 7)
    np.testing.assert_array_equal(answer["item_ids"][0], ids)
    np.testing.assert_array_equal(answer["scores"][0], expected)
    assert (answer["item_ids"][0] == -1).sum() == 2 + len(seen)


def test_more_items_than_16_bits_number(large, tmp_path):
    frozen = freeze(large.backbone, large.split)
    path = tmp_path / "model.tflite"
    convert(DeviceModule(frozen, FILES["model.tflite"], K), path)
    answer = recommend(path, 3, large.history(3))
    expected = large.ranking(large.scores(3), large.history(3), K)
    assert_same_ranking(answer, *expected)
    last = {"user_id": np.array([3], np.int32), "item_id": np.array([39_999], np.int32)}
    score = run(path, "score", **last)["score"]
    np.testing.assert_allclose(score, large.scores(3)[39_999:], rtol=1e-5)


def test_signatures(folder, tied_file):
    def names(path):
        return set(Interpreter(model_path=str(path)).get_signature_list())

    assert names(folder / "model.tflite") == {"recommend", "recommend_vector", "score"}
    assert names(tied_file) == {"recommend_vector"}


@pytest.mark.parametrize("name", FILES)
def test_only_built_in_operations(folder, name):
    interpreter = Interpreter(model_path=str(folder / name))
    operations = {op["op_name"] for op in interpreter._get_ops_details()}
    assert "WHILE" in operations
    assert not {op for op in operations if "Flex" in op or "CUSTOM" in op.upper()}


def test_no_history_is_needed_for_the_file(frozen):
    forgotten = dataclasses.replace(frozen, history=None, history_offsets=None)
    module = DeviceModule(forgotten, FILES["model.tflite"], K)
    assert set(module.signatures()) == {"recommend", "recommend_vector", "score"}


def test_the_converter_is_silent(tied, tmp_path, capfd):
    frozen = freeze(tied.backbone, tied.split)
    convert(DeviceModule(frozen, FILES["model_int8.tflite"], 2), tmp_path / "a.tflite")
    out, err = capfd.readouterr()
    assert out + err == ""


def test_an_operation_without_a_built_in_is_refused(frozen, tmp_path, capfd):
    module = DeviceModule(frozen, FILES["model.tflite"], 3)
    module.interaction = lambda users, items: tf.math.bessel_i0e(
        tf.matmul(users, items, transpose_b=True)
    )
    with pytest.raises(Exception, match="BesselI0e"):
        convert(module, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())
    assert "BesselI0e" in capfd.readouterr().err
