import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.export import saved_model
from dsl_tf.export.frozen import freeze
from dsl_tf.export.packed import BitmapTable
from dsl_tf.export.saved_model import ServingModule, export_serving, save

K = 20
USERS = np.array([0, 1, 2, 8, -1, 9, 2**40], np.int64)  # 2 is all zero, 0 new

#: Loads the folder of argv[1] where `dsl_tf` cannot be imported.
CLIENT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("dsl_tf", "tensorflow_recommenders"):
            raise ImportError(name + " is not installed here")

sys.meta_path.insert(0, Blocker())
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
query = np.load(sys.argv[2])
top = model.signatures["serving_default"](user_id=tf.constant(query["user_id"]))
pairs = model.signatures["score"](
    user_id=tf.constant(query["pair_user"]), item_id=tf.constant(query["pair_item"])
)
np.savez(sys.argv[3], **top, **pairs)
assert "dsl_tf" not in sys.modules
"""


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


def test_a_process_without_the_package_serves_it(sparse_neumf, served, tmp_path):
    folder = save(served, tmp_path / "saved_model")
    assert (folder / "saved_model.pb").is_file()
    pair_item = np.array([5, 2301, 7, 0, 3, -1, 2302], np.int64)
    np.savez(tmp_path / "in.npz", user_id=USERS, pair_user=USERS, pair_item=pair_item)
    subprocess.run(
        [sys.executable, "-I", "-c", CLIENT]
        + [os.fspath(path) for path in (folder, tmp_path / "in.npz", tmp_path / "out")],
        check=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    answer = np.load(tmp_path / "out.npz")
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
    assert set(signatures) == {"serving_default", "score"}
    assert recommend.structured_outputs["item_ids"].shape.as_list() == [None, K]
    assert recommend.structured_outputs["scores"].shape.as_list() == [None, K]
    for function, names in ((recommend, ["user_id"]), (score, ["user_id", "item_id"])):
        specs = function.structured_input_signature[0]
        specs = specs or list(function.structured_input_signature[1].values())
        assert [spec.name for spec in specs] == names
        assert all(spec.dtype == tf.int64 for spec in specs)
        assert all(spec.shape.as_list() == [None] for spec in specs)
    assert score.structured_outputs["score"].shape.as_list() == [None]


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


def test_training_tables_are_not_saved(sparse_neumf, served):
    held = {id(variable) for variable in served.variables}
    assert id(sparse_neumf.backbone.user_table) not in held
    assert id(sparse_neumf.backbone.item_table) not in held


def test_versions_for_tensorflow_serving(tied, tmp_path):
    module = ServingModule(freeze(tied.backbone, tied.split), 2)
    base = tmp_path / "models"
    (base / "7").mkdir(parents=True)
    (base / "notes").mkdir()
    assert export_serving(module, base) == base / "8"
    assert sorted(path.name for path in base.iterdir()) == ["7", "8", "notes"]
    assert (base / "8" / "saved_model.pb").is_file()
