import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from dsl_tf.export.device import DeviceModule
from dsl_tf.export.frozen import freeze
from dsl_tf.export.packed import BitmapTable, ColumnsTable
from dsl_tf.export.saved_model import ServingModule
from dsl_tf.export.tables import DenseTable
from dsl_tf.export.tflite import FILES, convert, run

K = 20
#: Operations that are none of TFLite's own, slow, or unpack tables.
FORBIDDEN = {"CUSTOM", "GATHER_ND", "DENSIFY", "DEQUANTIZE"}


@dataclasses.dataclass
class File:
    """A `.tflite` file, its case, and its tables as they are stored."""

    path: pathlib.Path
    case: object
    tables: tuple[np.ndarray, np.ndarray]

    def expected(self, user, seen):
        scores = self.case.scores(user, self.tables)
        return self.case.ranking(scores, seen, K)


@pytest.fixture(scope="module")
def frozen(sparse_neumf):
    return freeze(sparse_neumf.backbone, sparse_neumf.split, sparse_neumf.seed)


@pytest.fixture(scope="module")
def neumf_file(sparse_neumf, frozen, tmp_path_factory):
    path = tmp_path_factory.mktemp("neumf") / "model.tflite"
    module = DeviceModule(frozen, "float32", K, layout="fast")
    assert isinstance(module.items, BitmapTable)  # its score is no inner product
    return File(convert(module, path), sparse_neumf, sparse_neumf.tables())


@pytest.fixture(scope="module")
def fast_file(dot_product, tmp_path_factory):
    frozen = freeze(dot_product.backbone, dot_product.split, dot_product.seed)
    module = DeviceModule(frozen, "float32", K, layout="fast")
    assert isinstance(module.items, ColumnsTable)
    path = tmp_path_factory.mktemp("fast") / "model.tflite"
    return File(convert(module, path), dot_product, dot_product.tables())


@pytest.fixture(
    scope="module", params=["neumf", "fast", *(f"small {name}" for name in FILES)]
)
def any_file(request, dot_product, run_folder, exported, rounded):
    if not request.param.startswith("small"):
        return request.getfixturevalue(f"{request.param}_file")
    name = request.param.removeprefix("small ")
    tables = tuple(rounded(table, FILES[name]) for table in dot_product.tables())
    return File(run_folder / name, dot_product, tables)


@pytest.fixture(scope="module")
def tied_file(tied, tmp_path_factory):
    """Catalogue smaller than k, ties, and no user table."""
    frozen = freeze(tied.backbone, tied.split, tied.seed)
    module = DeviceModule(frozen, "float32", 7, with_users=False)
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
    assert clear.mean() > 0.7
    np.testing.assert_array_equal(answer["item_ids"][0][clear], ids[clear])


@pytest.mark.parametrize("user", [0, 3, 2, -1, 900, 2**31 - 1])
def test_rankings_are_those_of_the_stored_tables(any_file, user):
    known = 0 <= user < any_file.case.backbone.num_users
    seen = any_file.case.history(user) if known else [4, 5]
    answer = recommend(any_file.path, user, seen)
    assert answer["item_ids"].dtype == np.int32
    assert answer["item_ids"].shape == answer["scores"].shape == (1, K)
    assert_same_ranking(answer, *any_file.expected(user, seen))


@pytest.mark.parametrize(("coding", "least"), [("fp16", 0.99), ("int8", 0.93)])
def test_narrow_tables_rank_nearly_as_wide_ones(
    dot_product, run_folder, exported, coding, least
):
    """Overlap of the top 20; int4 is not among the formats written by default."""
    shared = []
    for user in range(20, 50):
        ids, _ = dot_product.ranking(dot_product.scores(user), [], K)
        answer = recommend(run_folder / f"model_{coding}.tflite", user, [])
        shared.append(len(set(ids) & set(answer["item_ids"][0])) / K)
    assert np.mean(shared) > least


def test_rankings_are_those_of_the_saved_model(sparse_neumf, frozen, neumf_file):
    served = ServingModule(frozen, K)
    top = served.recommend(tf.range(9, dtype=tf.int64))
    for user in range(9):
        answer = recommend(neumf_file.path, user, sparse_neumf.history(user))
        assert_same_ranking(
            answer, top["item_ids"][user].numpy(), top["scores"][user].numpy()
        )


def test_the_saved_model_on_disk_agrees(dot_product, run_folder, exported):
    signature = tf.saved_model.load(run_folder / "saved_model").signatures
    users = [0, 1, 5, 899, 2]
    top = signature["serving_default"](user_id=tf.constant(users, tf.int64))
    for row, user in enumerate(users):
        answer = recommend(run_folder / "model.tflite", user, dot_product.history(user))
        assert_same_ranking(
            answer, top["item_ids"][row].numpy(), top["scores"][row].numpy()
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
def test_any_list_of_seen_items(neumf_file, seen):
    answer = recommend(neumf_file.path, 4, seen)
    assert_same_ranking(answer, *neumf_file.expected(4, seen))


def test_a_vector_ranks_as_its_user(any_file):
    vector = any_file.tables[0][3:4]
    seen = np.array([any_file.case.history(3)], np.int32)
    answer = run(any_file.path, "recommend_vector", user_vector=vector, seen=seen)
    expected = recommend(any_file.path, 3, seen)
    np.testing.assert_array_equal(answer["item_ids"], expected["item_ids"])
    np.testing.assert_allclose(answer["scores"], expected["scores"], rtol=1e-6)


@pytest.mark.parametrize("item", [0, 1, 2301, -1, 2600, 2**31 - 1])
def test_item_vectors_are_the_stored_rows(any_file, item):
    """Bit for bit: what is packed and unpacked is not computed with."""
    answer = run(any_file.path, "item_vector", item_id=np.array([item], np.int32))
    items = any_file.tables[1]
    expected = items[item] if 0 <= item < len(items) else np.zeros_like(items[0])
    found = answer["vector"][0]
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize(
    ("user", "item"),
    [(0, 0), (3, 2301), (2, 1), (-1, 4), (900, 4), (0, -1), (0, 2600), (0, 65_536)],
)
def test_score_of_a_pair(any_file, user, item):
    pair = {"user_id": user, "item_id": item}
    pair = {name: np.array([value], np.int32) for name, value in pair.items()}
    answer = run(any_file.path, "score", **pair)
    exists = 0 <= item < any_file.case.backbone.num_items
    scores = any_file.case.scores(user, any_file.tables)
    expected = scores[item] if exists else -np.inf
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


def test_more_items_than_16_bits_number(large, rounded, tmp_path):
    """And dense tables of narrow weights."""
    module = DeviceModule(freeze(large.backbone, large.split), "int4", K)
    assert isinstance(module.items, DenseTable)
    tables = tuple(rounded(table, "int4") for table in large.tables())
    file = File(convert(module, tmp_path / "model.tflite"), large, tables)
    seen = large.history(3)
    assert_same_ranking(recommend(file.path, 3, seen), *file.expected(3, seen))
    last = {"user_id": np.array([3], np.int32), "item_id": np.array([39_999], np.int32)}
    score = run(file.path, "score", **last)["score"]
    expected = large.scores(3, file.tables)[39_999:]
    np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_signatures(neumf_file, tied_file):
    def names(path):
        return set(Interpreter(model_path=str(path)).get_signature_list())

    of_items = {"recommend_vector", "item_vector"}
    assert names(neumf_file.path) == of_items | {"recommend", "score"}
    assert names(tied_file) == of_items


def operations_of(content):
    model = schema.Model.GetRootAs(content, 0)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    return {
        names[model.OperatorCodes(i).BuiltinCode()]
        for i in range(model.OperatorCodesLength())
    }


def test_only_built_in_operations(any_file):
    content = any_file.path.read_bytes()
    assert b"Flex" not in content
    operations = operations_of(content)
    assert {"WHILE", "GATHER"} <= operations
    assert not FORBIDDEN & operations


def from_history(path, history):
    history = np.array(history, np.int32).reshape(1, -1)
    return run(path, "from_history", history=history)


@pytest.mark.parametrize(
    "history",
    [
        [3, 700, 41],
        [41, -1, 3, -1, 700, 41, 3],
        [1500, 2**31 - 1, -(2**31), 700, 3, 41],
        [1499],
        list(range(3, 1500)),
    ],
    ids=["plain", "padded_repeated", "unknown", "one", "nearly_all"],
)
def test_rankings_from_a_history(vae, vae_folder, vae_exported, history):
    answer = from_history(vae_folder / "model.tflite", history)
    assert answer["item_ids"].dtype == np.int32
    assert answer["item_ids"].shape == answer["scores"].shape == (1, K)
    assert_same_ranking(answer, *vae.ranking(vae.of_history(history), history, K))


@pytest.mark.parametrize("history", [[], [-1], [-1, 1500]])
@pytest.mark.parametrize("name", ["model.tflite", "model_int8.tflite"])
def test_an_empty_history_ranks_by_popularity(
    vae, vae_folder, vae_exported, name, history
):
    answer = from_history(vae_folder / name, history)
    ids, scores = vae.ranking(vae.scores(-1), [], K)
    np.testing.assert_array_equal(answer["item_ids"][0], ids)
    np.testing.assert_array_equal(answer["scores"][0], scores)


@pytest.mark.parametrize("coding", ["float16", "int8"])
def test_narrow_rows_are_summed_as_they_are_stored(
    vae, vae_folder, vae_exported, rounded, coding
):
    name = {coding: name for name, coding in FILES.items()}[coding]
    backbone, history = vae.backbone, [3, 700, 41, 800]
    tables = (backbone.inputs.numpy(), backbone.outputs.numpy())
    scores = vae.of_history(history, *(rounded(table, coding) for table in tables))
    answer = from_history(vae_folder / name, history)
    assert_same_ranking(answer, *vae.ranking(scores, history, K))


def test_narrow_rows_rank_histories_nearly_as_wide_ones(vae, vae_folder, vae_exported):
    """Overlap of the top 20 with rankings by float32."""
    shared = []
    for user in range(1, 31):
        history = vae.history(user)
        ids, _ = vae.ranking(vae.of_history(history), history, K)
        answer = from_history(vae_folder / "model_int8.tflite", history)
        shared.append(len(set(ids) & set(answer["item_ids"][0])) / K)
    assert np.mean(shared) > 0.93


def test_a_history_ranks_as_its_user(vae, vae_folder, vae_exported):
    """The file's table has the vectors that training histories give."""
    path, train = vae_folder / "model.tflite", vae.split.train
    for user in (1, 39):
        history = train.items[train.users == user]
        by_user = recommend(path, user, history)
        by_history = from_history(path, history)
        ids, scores = by_user["item_ids"][0], by_user["scores"][0]
        assert_same_ranking(by_history, ids, scores)


def test_the_saved_model_answers_histories_alike(vae, vae_folder, vae_exported):
    signature = tf.saved_model.load(vae_folder / "saved_model").signatures
    history = np.array([[5, 6, 1400, 5, -1]], np.int32)
    served = signature["from_history"](history=tf.constant(history))
    answer = from_history(vae_folder / "model.tflite", history)
    ids, scores = (served[name][0].numpy() for name in ("item_ids", "scores"))
    assert_same_ranking(answer, ids, scores)


def test_own_rows_are_in_the_table_of_users_only(cdae, tmp_path):
    frozen = freeze(cdae.backbone, cdae.split, cdae.seed)
    path = convert(DeviceModule(frozen, "float32", K), tmp_path / "model.tflite")
    seen = cdae.history(5)
    answer = recommend(path, 5, seen)
    assert_same_ranking(answer, *cdae.ranking(cdae.scores(5), seen, K))
    answer = from_history(path, seen)
    assert_same_ranking(answer, *cdae.ranking(cdae.of_history(seen), seen, K))


def test_an_autoencoder_without_users(vae, vae_folder, vae_exported, tmp_path):
    frozen = freeze(vae.backbone, vae.split, vae.seed)
    module = DeviceModule(frozen, "int8", K, with_users=False)
    path = convert(module, tmp_path / "model.tflite")
    signatures = Interpreter(model_path=str(path)).get_signature_list()
    assert set(signatures) == {"from_history", "recommend_vector", "item_vector"}
    of_all = Interpreter(model_path=str(vae_folder / "model.tflite"))
    assert set(of_all.get_signature_list()) - set(signatures) == {"recommend", "score"}
    answer = from_history(path, [3, 700])
    expected = from_history(vae_folder / "model_int8.tflite", [3, 700])
    np.testing.assert_array_equal(answer["item_ids"], expected["item_ids"])


@pytest.mark.parametrize("name", ["model.tflite", "model_fp16.tflite"])
def test_only_built_in_operations_encode(vae_folder, vae_exported, name):
    content = (vae_folder / name).read_bytes()
    assert b"Flex" not in content
    assert not FORBIDDEN & operations_of(content)


def test_no_history_is_needed_for_the_file(frozen):
    forgotten = dataclasses.replace(frozen, history=None, history_offsets=None)
    module = DeviceModule(forgotten, "float32", K)
    assert {"recommend", "recommend_vector"} < set(module.signatures())


def test_the_converter_is_silent(tied, tmp_path, capfd):
    frozen = freeze(tied.backbone, tied.split)
    convert(DeviceModule(frozen, "int8", 2, with_users=False), tmp_path / "a.tflite")
    out, err = capfd.readouterr()
    assert out + err == ""


def test_an_operation_without_a_built_in_is_refused(frozen, tmp_path, capfd):
    module = DeviceModule(frozen, "float32", 3, with_users=False)
    module.interaction = lambda users, items: tf.math.bessel_i0e(
        tf.matmul(users, items, transpose_b=True)
    )
    with pytest.raises(Exception, match="BesselI0e"):
        convert(module, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())
    assert "BesselI0e" in capfd.readouterr().err
