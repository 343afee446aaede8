import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.export import saved_model
from dsl_tf.export.device import DeviceModule
from dsl_tf.export.frozen import freeze
from dsl_tf.export.packed import BitmapTable
from dsl_tf.export.saved_model import ServingModule, export_serving, save
from dsl_tf.types import empty_interactions

K = 20
USERS = np.array([0, 1, 2, 8, -1, 9, 2**40], np.int64)  # 2 is all zero, 0 new


@pytest.fixture(scope="module")
def served(sparse_neumf):
    module = ServingModule(freeze(sparse_neumf.backbone, sparse_neumf.split), K)
    assert isinstance(module.items, BitmapTable)
    return module


def check_ranking(case, user, item_ids, scores):
    known = 0 <= user < case.backbone.num_users
    seen = case.history(user) if known else []
    ids, expected = case.ranking(case.scores(user), seen, len(item_ids))
    np.testing.assert_array_equal(item_ids, ids)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    assert not set(ids) & set(seen)


def test_a_process_without_the_package_serves_it(
    sparse_neumf, served, tmp_path, asked_elsewhere
):
    folder = save(served, tmp_path / "saved_model")
    assert (folder / "saved_model.pb").is_file()
    pair_item = np.array([5, 2301, 7, 0, 3, -1, 2302], np.int64)
    query = {"user_id": USERS, "pair_user": USERS, "pair_item": pair_item}
    answer = asked_elsewhere(folder, **query)
    assert answer["item_ids"].dtype == np.int32
    assert answer["scores"].dtype == answer["score"].dtype == np.float32
    for row, user in enumerate(USERS):
        check_ranking(
            sparse_neumf, user, answer["item_ids"][row], answer["scores"][row]
        )
    expected = [
        sparse_neumf.scores(user)[item] if 0 <= item < 2302 else -np.inf
        for user, item in zip(USERS, pair_item, strict=True)
    ]
    np.testing.assert_allclose(answer["score"], expected, rtol=1e-5, atol=1e-5)


def test_signatures_are_named_typed_and_of_any_batch(served):
    signatures = served.signatures()
    recommend, score = signatures["serving_default"], signatures["score"]
    vector = signatures["user_vector"]
    assert set(signatures) == {"serving_default", "score", "user_vector"}
    assert recommend.structured_outputs["item_ids"].shape.as_list() == [None, K]
    assert recommend.structured_outputs["scores"].shape.as_list() == [None, K]
    for function, names in (
        (recommend, ["user_id"]),
        (score, ["user_id", "item_id"]),
        (vector, ["user_id"]),
    ):
        specs = function.structured_input_signature[0]
        specs = specs or list(function.structured_input_signature[1].values())
        assert [spec.name for spec in specs] == names
        assert all(spec.dtype == tf.int64 for spec in specs)
        assert all(spec.shape.as_list() == [None] for spec in specs)
    assert score.structured_outputs["score"].shape.as_list() == [None]
    width = served.users.rows(tf.constant([0])).shape[1]
    assert vector.structured_outputs["vector"].shape.as_list() == [None, width]


def test_a_phone_whose_file_has_no_users_ranks_a_vector_of_the_server(
    sparse_neumf, served
):
    frozen = freeze(sparse_neumf.backbone, sparse_neumf.split)
    phone = DeviceModule(frozen, "float32", K, with_users=False)
    vectors = served.user_vector(tf.constant(USERS))["vector"]
    for user, vector in zip(USERS, vectors, strict=True):
        known = 0 <= user < sparse_neumf.backbone.num_users
        seen = sparse_neumf.history(user) if known else []
        answer = phone.recommend_vector(vector[None], tf.constant([[-1, *seen]]))
        ids, scores = answer["item_ids"][0].numpy(), answer["scores"][0].numpy()
        check_ranking(sparse_neumf, user, ids, scores)


def test_no_users_no_rankings(served):
    nobody = tf.zeros([0], tf.int64)
    assert served.recommend(nobody)["item_ids"].shape == (0, K)
    assert served.score(nobody, nobody)["score"].shape == (0,)


def test_ties_and_catalogues_smaller_than_k(tied):
    module = ServingModule(freeze(tied.backbone, tied.split, tied.seed), 7)
    answer = module.recommend(tf.constant([0, 1, 2, 3], tf.int64))
    for user in range(4):
        check_ranking(
            tied, user, answer["item_ids"][user].numpy(), answer["scores"][user].numpy()
        )
    # User 0 has seen 0 and 1: items 2 and 4 tie at 0, then 3, and no more.
    assert answer["item_ids"][0].numpy().tolist()[2:] == [3, -1, -1, -1, -1]


@pytest.mark.parametrize("pairs", [1, 700, 10_000])
def test_the_size_of_a_block_changes_nothing(sparse_neumf, monkeypatch, pairs):
    monkeypatch.setattr(saved_model, "PAIRS_PER_BLOCK", pairs)
    module = ServingModule(freeze(sparse_neumf.backbone, sparse_neumf.split), K)
    answer = module.recommend(tf.constant([3, 4], tf.int64))
    for row, user in enumerate((3, 4)):
        check_ranking(
            sparse_neumf,
            user,
            answer["item_ids"][row].numpy(),
            answer["scores"][row].numpy(),
        )


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_pairs_are_scored_some_at_a_time(sparse_neumf, monkeypatch, count):
    module = ServingModule(freeze(sparse_neumf.backbone, sparse_neumf.split), K)
    rng = np.random.default_rng(0)
    pairs = [tf.constant(rng.integers(0, 4, count), tf.int64) for _ in range(2)]
    expected = module.score(*pairs)["score"].numpy()
    monkeypatch.setattr(saved_model, "PAIRS_AT_ONCE", 3)
    module = ServingModule(freeze(sparse_neumf.backbone, sparse_neumf.split), K)
    found = module.score(*pairs)["score"].numpy()
    assert found.shape == (count,)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_training_tables_are_not_saved(sparse_neumf, served):
    held = {id(variable) for variable in served.variables}
    assert id(sparse_neumf.backbone.user_table) not in held
    assert id(sparse_neumf.backbone.item_table) not in held


@pytest.fixture(scope="module", params=["vae", "cdae"])
def autoencoder(request):
    case = request.getfixturevalue(request.param)
    return case, ServingModule(freeze(case.backbone, case.split, case.seed), K)


def test_known_users_of_an_autoencoder_are_encoded(autoencoder):
    """Of their training items; their validation items are excluded too."""
    case, module = autoencoder
    users = np.array([5, 0, -1, 39, 5, 40])
    answer = module.recommend(tf.constant(users))
    items = np.array([7, 1499, 0, 3, 1500, 2])
    score = module.score(tf.constant(users), tf.constant(items))["score"]
    for row, user in enumerate(users):
        check_ranking(
            case, user, answer["item_ids"][row].numpy(), answer["scores"][row].numpy()
        )
        if items[row] < 1500:
            expected = case.scores(user)[items[row]]
            np.testing.assert_allclose(score[row], expected, rtol=1e-5, atol=1e-5)
    assert score[4] == -np.inf


HISTORIES = [
    [3, 700, 41, -1, -1, -1],
    [41, -1, 700, 3, 41, 3],
    [1500, 2**31 - 1, -(2**31), 700, 3, 41],
    [-1] * 6,
    [0, 1499, 1, 2, 3, 4],
]


def test_a_process_without_the_package_answers_a_history(
    autoencoder, tmp_path, asked_elsewhere
):
    case, module = autoencoder
    folder = save(module, tmp_path / "saved_model")
    query = {"user_id": USERS, "pair_user": USERS, "pair_item": USERS}
    history = np.array(HISTORIES, np.int32)
    answer = asked_elsewhere(folder, **query, history=history)
    assert answer["item_ids"].dtype == np.int32
    assert answer["scores"].dtype == np.float32
    for row, items in enumerate(HISTORIES):
        ids, scores = case.ranking(case.of_history(items), items, K)
        np.testing.assert_array_equal(answer["item_ids"][row], ids)
        np.testing.assert_allclose(answer["scores"][row], scores, rtol=1e-5, atol=1e-5)
    # Padding, the order of a list and repeated items change no bit.
    np.testing.assert_array_equal(answer["scores"][1:3], answer["scores"][[0, 0]])


def test_a_known_users_history_ranks_as_the_user(vae):
    """Where validation items are known to neither, all bits are equal."""
    split = dataclasses.replace(vae.split, validation=empty_interactions())
    module = ServingModule(freeze(vae.backbone, split), K)
    users = np.arange(1, 40)
    lists = [split.train.items[split.train.users == user] for user in users]
    history = np.full((39, max(map(len, lists)) + 2), -1, np.int32)
    for row, items in enumerate(lists):
        history[row, : len(items)] = items[::-1]
    by_history = module.from_history(tf.constant(history))
    by_user = module.recommend(tf.constant(users))
    for name in by_user:
        np.testing.assert_array_equal(by_history[name], by_user[name])


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_histories_of_nobody_or_of_nothing(autoencoder, shape):
    case, module = autoencoder
    answer = module.from_history(tf.zeros(shape, tf.int32))
    ids, scores = case.ranking(case.scores(-1), [], K)
    np.testing.assert_array_equal(answer["item_ids"], np.tile(ids, (shape[0], 1)))
    np.testing.assert_array_equal(answer["scores"], np.tile(scores, (shape[0], 1)))


def test_a_history_of_nearly_all_items(autoencoder):
    _, module = autoencoder
    answer = module.from_history(tf.range(3, 1500)[None, :])
    assert sorted(answer["item_ids"][0, :3].numpy()) == [0, 1, 2]
    assert set(answer["item_ids"][0, 3:].numpy()) == {-1}


def test_signature_of_a_history(autoencoder):
    _, module = autoencoder
    function = module.signatures()["from_history"]
    (spec,) = function.structured_input_signature[0]
    assert (spec.name, spec.dtype) == ("history", tf.int32)
    assert spec.shape.as_list() == [None, None]
    for output in function.structured_outputs.values():
        assert output.shape.as_list() == [None, K]


def test_no_table_of_user_vectors_is_held(autoencoder):
    case, module = autoencoder
    shapes = [variable.shape.as_list() for variable in module.variables]
    rows = case.backbone.num_users
    assert [rows, 15] not in shapes
    floats = sum(
        variable.shape.num_elements()
        for variable in module.variables
        if variable.dtype.is_floating
    )
    packed = (case.backbone.inputs, case.backbone.outputs)
    stored = sum(np.count_nonzero(table) + 1 for table in packed)
    if case.backbone.users is not None:
        stored += rows * 32  # too few to be worth a packed layout
    kernel = 32 * 15
    assert floats <= stored + kernel


def test_versions_for_tensorflow_serving(tied, tmp_path):
    module = ServingModule(freeze(tied.backbone, tied.split), 2)
    base = tmp_path / "models"
    (base / "7").mkdir(parents=True)
    (base / "notes").mkdir()
    (base / "²").mkdir()  # a digit, and no number
    assert export_serving(module, base) == base / "8"
    assert sorted(path.name for path in base.iterdir()) == ["7", "8", "notes", "²"]
    assert (base / "8" / "saved_model.pb").is_file()
