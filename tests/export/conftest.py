"""Tiny backbones, splits, and the rankings they should give."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
import tf_keras as keras

from dsl_tf.backbones._autoencoder import Autoencoder
from dsl_tf.backbones._dot_product import DotProductBackbone
from dsl_tf.backbones.base import Backbone
from dsl_tf.evaluation.ranking import tie_order
from dsl_tf.export.artefacts import FACTORED, FORMATS, export_model
from dsl_tf.export.codings import encode
from dsl_tf.types import Interactions, Split, empty_interactions

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
answers = {**top, **pairs}
if "history" in query:
    answers = model.signatures["from_history"](history=tf.constant(query["history"]))
np.savez(sys.argv[3], **answers)
assert "dsl_tf" not in sys.modules
"""


class TinyBackbone(tf.Module):
    """The part of a Backbone that an export uses, over given tables."""

    user_blocks, item_blocks = Backbone.user_blocks, Backbone.item_blocks
    prepared = Backbone.prepared

    def __init__(self, users: np.ndarray, items: np.ndarray):
        super().__init__()
        self.num_users, self.num_items = len(users), len(items)
        self.user_table = tf.Variable(users, dtype=tf.float32)
        self.item_table = tf.Variable(items, dtype=tf.float32)

    def user_vectors(self, query: Mapping[str, tf.Tensor], prepared=None) -> tf.Tensor:
        return tf.gather(self.user_table, query["user_id"])

    def item_vectors(self, items=None, prepared=None) -> tf.Tensor:
        rows = range(self.num_items) if items is None else items
        return tf.gather(self.item_table, rows)


class DotProduct(TinyBackbone):
    """The score is the inner product."""

    query_vectors = DotProductBackbone.query_vectors
    interaction = DotProductBackbone.interaction


DotProductBackbone.register(DotProduct)


class SmallNeuMF(TinyBackbone):
    """First half of each vector for GMF, second half for a two-layer MLP."""

    def __init__(self, users: np.ndarray, items: np.ndarray):
        super().__init__(users, items)
        half = users.shape[1] // 2
        init = keras.initializers.RandomNormal(0.0, 0.5, seed=5)
        self.hidden = keras.layers.Dense(6, "relu", True, init, init)
        self.hidden.build([None, 2 * half])
        self.out = keras.layers.Dense(1, None, True, init, init)
        self.out.build([None, half + 6])
        self.half = half

    def interaction(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        half = self.half
        product = users[:, None, :half] * items[None, :, :half]
        like = tf.zeros_like(product)
        pair = tf.concat(
            [users[:, None, half:] + like, items[None, :, half:] + like], 2
        )
        return self.out(tf.concat([product, self.hidden(pair)], 2))[:, :, 0]


class TinyAutoencoder(tf.Module):
    """The part of an Autoencoder that an export uses, over given tables."""

    item_blocks, prepared = Backbone.item_blocks, Backbone.prepared
    interaction = DotProductBackbone.interaction

    def __init__(
        self,
        inputs: np.ndarray,
        outputs: np.ndarray,
        kernel: np.ndarray,
        users: np.ndarray | None,
        num_users: int,
    ):
        super().__init__()
        self.num_users, self.num_items = num_users, len(inputs)
        self.inputs = tf.Variable(inputs)
        self.outputs = tf.Variable(outputs)
        self.kernel = tf.Variable(kernel)
        self.users = None if users is None else tf.Variable(users)

    def encoder_rows(self, items: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.inputs, items)

    def user_rows(self, users: tf.Tensor) -> tf.Tensor | None:
        return None if self.users is None else tf.gather(self.users, users)

    def encode(self, sums, counts, user_rows) -> tf.Tensor:
        hidden = sums / tf.sqrt(tf.maximum(counts, 1.0))[:, None]
        hidden = hidden if user_rows is None else hidden + user_rows
        vectors = tf.tanh(tf.matmul(hidden, self.kernel)) + 0.25
        return tf.where(counts[:, None] > 0, vectors, tf.zeros_like(vectors))

    def item_vectors(self, items=None, prepared=None) -> tf.Tensor:
        return tf.gather(self.outputs, items)

    def query_vectors(self, users: tf.Tensor) -> tf.Tensor:
        return tf.concat([users, tf.ones_like(users[:, :1])], axis=1)


Autoencoder.register(TinyAutoencoder)


def expected_scores(backbone: TinyBackbone, users, items) -> np.ndarray:
    """All scores by NumPy alone, float32 [num_users, num_items]."""
    if isinstance(backbone, DotProduct):
        return users @ items.T
    half = backbone.half
    kernel, bias = (variable.numpy() for variable in backbone.hidden.variables)
    last, last_bias = (variable.numpy() for variable in backbone.out.variables)
    rows = []
    for user in users:
        pair = np.hstack([np.tile(user[half:], (len(items), 1)), items[:, half:]])
        hidden = np.maximum(pair @ kernel + bias, 0)
        rows.append(np.hstack([user[:half] * items[:, :half], hidden]) @ last)
    return np.stack(rows)[:, :, 0] + last_bias[0]


@pytest.fixture(scope="session")
def rounded():
    """What a coding makes of a table, by NumPy alone."""

    def decode(table: np.ndarray, coding: str) -> np.ndarray:
        coded = encode(scipy.sparse.csr_matrix(table), coding)
        codes = coded.codes.toarray()
        if coding == "float16":
            return codes.view(np.float16).astype(np.float32)
        return codes if coded.scale is None else codes * coded.scale[:, None]

    return decode


@dataclasses.dataclass
class Case:
    """A backbone, its split, and the rankings by definition."""

    backbone: TinyBackbone
    split: Split
    seed: int = 0

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        return self.backbone.user_table.numpy(), self.backbone.item_table.numpy()

    def history(self, user: int) -> list[int]:
        parts = (self.split.train, self.split.validation)
        return [int(i) for part in parts for i in part.items[part.users == user]]

    def scores(self, user: int, tables=None) -> np.ndarray:
        """Popularity for a user who is unknown, here or in training, or all zero."""
        users, items = tables or self.tables()
        known = user in self.split.train.users
        if not known or not users[user].any():
            return self.split.popularity().astype(np.float32)
        return expected_scores(self.backbone, users[user : user + 1], items)[0]

    def ranking(self, scores: np.ndarray, seen, k: int):
        """Ids [k] and scores [k]: sorted in full, ties by place in the order."""
        scores = scores.astype(np.float32)
        scores[[i for i in seen if 0 <= i < len(scores)]] = -np.inf
        place = np.argsort(tie_order(len(scores), self.seed))
        best = np.lexsort([place, -scores])[:k]
        ids = np.where(np.isinf(scores[best]), -1, best)
        missing = k - len(best)
        return (
            np.pad(ids, (0, missing), constant_values=-1),
            np.pad(scores[best], (0, missing), constant_values=-np.inf),
        )


class AutoencoderCase(Case):
    """The same for an autoencoder, whose users may also come with a history."""

    def vector(self, history, user: int | None = None, inputs=None) -> np.ndarray:
        backbone = self.backbone
        inputs = backbone.inputs.numpy() if inputs is None else inputs
        kernel = backbone.kernel.numpy()
        items = sorted({i for i in history if 0 <= i < len(inputs)})
        if not items:
            return np.zeros(kernel.shape[1], np.float32)
        hidden = inputs[items].astype(np.float64).sum(axis=0) / np.sqrt(len(items))
        if user is not None and backbone.users is not None:
            hidden = hidden + backbone.users.numpy()[user]
        return (np.tanh(hidden @ kernel) + 0.25).astype(np.float32)

    def of_vector(self, vector: np.ndarray, outputs=None) -> np.ndarray:
        outputs = self.backbone.outputs.numpy() if outputs is None else outputs
        if not vector.any():
            return self.split.popularity().astype(np.float32)
        return (outputs @ np.append(vector, 1)).astype(np.float32)

    def of_history(self, history, inputs=None, outputs=None) -> np.ndarray:
        return self.of_vector(self.vector(history, None, inputs), outputs)

    def scores(self, user: int, tables=None) -> np.ndarray:
        if not 0 <= user < self.backbone.num_users:
            return self.split.popularity().astype(np.float32)
        train = self.split.train
        items = train.items[train.users == user].tolist()
        return self.of_vector(self.vector(items, user))


def make_split(
    num_users: int, num_items: int, train: list[tuple[int, int]], validation=()
) -> Split:
    def part(pairs) -> Interactions:
        if not pairs:
            return empty_interactions()
        users, items = np.array(sorted(pairs), np.int32).T
        return Interactions(users, items)

    return Split(
        name="tiny",
        user_ids=np.array([f"u{i}" for i in range(num_users)], dtype=object),
        item_ids=np.array([f"i{i}" for i in range(num_items)], dtype=object),
        train=part(train),
        validation=part(validation),
        test=empty_interactions(),
    )


def sparse_table(rows: int, width: int, sparsity: float, seed: int) -> np.ndarray:
    """Normal weights; if a share is zero, the first row is full, the last empty."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, width)).astype(np.float32)
    zero = rng.random(table.shape) < sparsity
    zero[0], zero[-1] = False, sparsity > 0
    return np.where(zero, np.float32(0), table)


def make_case(
    kind: type, num_users: int, num_items: int, width: int, sparsity: float = 0.0
) -> Case:
    """Random tables; user 2 is all zero; every user but 0 has a history."""
    users = sparse_table(num_users, width, sparsity / 2, 12)
    items = sparse_table(num_items, width, sparsity, 13)
    users[2] = 0
    rng = np.random.default_rng(11)
    pairs = [
        (user, int(item))
        for user in range(1, num_users)
        # Squared, so that popularity has a head, and ties in its tail.
        for item in set((num_items * rng.random(size=30) ** 2).astype(int))
    ]
    split = make_split(num_users, num_items, pairs[::2], pairs[1::2])
    return Case(kind(users, items), split)


def make_autoencoder(own_rows: bool) -> AutoencoderCase:
    """Inputs are 80 % sparse; only users from 1 on have a history."""
    num_users, num_items, width, du = 40, 1500, 32, 15
    rng = np.random.default_rng(17)
    inputs = sparse_table(num_items, width, 0.8, 14)
    outputs = sparse_table(num_items, du + 1, 0.8, 15)
    outputs[:, -1] = rng.normal(size=num_items)
    kernel = rng.normal(0, 0.3, (width, du)).astype(np.float32)
    users = sparse_table(num_users, width, 0.5, 16) if own_rows else None
    pairs = [
        (user, int(item))
        for user in range(1, num_users)
        for item in set((num_items * rng.random(size=30) ** 2).astype(int))
    ]
    held_out = pairs[::4]
    train = sorted(set(pairs) - set(held_out))
    split = make_split(num_users, num_items, train, held_out)
    backbone = TinyAutoencoder(inputs, outputs, kernel, users, num_users)
    return AutoencoderCase(backbone, split)


@pytest.fixture(scope="session")
def new_split():
    """Makes a split of pairs."""
    return make_split


@pytest.fixture(scope="session")
def vae() -> AutoencoderCase:
    """A user is nothing but the history."""
    return make_autoencoder(own_rows=False)


@pytest.fixture(scope="session")
def cdae() -> AutoencoderCase:
    """A known user has an own row, too."""
    return make_autoencoder(own_rows=True)


@pytest.fixture(scope="session")
def neumf() -> Case:
    """2,302 items: five blocks of 461 on a device, which overlap."""
    return make_case(SmallNeuMF, 9, 2302, 8)


@pytest.fixture(scope="session")
def sparse_neumf() -> Case:
    """The same with tables that are worth packing."""
    return make_case(SmallNeuMF, 9, 2302, 8, sparsity=0.7)


@pytest.fixture(scope="session")
def tied() -> Case:
    """Five items, fewer than k; two of them are rows of zeros."""
    users = np.array([[1, 0], [-1, 0], [0, 0]], np.float32)
    items = np.array([[0, 1], [2, 0], [0, 0], [-1, 0], [0, 0]], np.float32)
    train = [(0, 1), (1, 2), (1, 1), (2, 4)]
    return Case(DotProduct(users, items), make_split(3, 5, train, [(0, 0)]), seed=3)


@pytest.fixture(scope="session")
def dot_product() -> Case:
    """Tables large enough to show in the size of a file, 80 % sparse."""
    return make_case(DotProduct, 900, 2600, 64, sparsity=0.8)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="session")
def exported(dot_product, run_folder):
    """Every format of `dot_product`, as small as it gets."""
    formats = [name for name in FORMATS if name != FACTORED]
    return export_model(
        dot_product.backbone, dot_product.split, run_folder, formats=formats
    )


@pytest.fixture
def asked_elsewhere(tmp_path):
    """Asks the SavedModel of a folder in another process, which has no `dsl_tf`."""

    def ask(folder, **query):
        np.savez(tmp_path / "in.npz", **query)
        paths = (folder, tmp_path / "in.npz", tmp_path / "out.npz")
        subprocess.run(
            [sys.executable, "-I", "-c", CLIENT, *map(os.fspath, paths)],
            check=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
        )
        return np.load(tmp_path / "out.npz")

    return ask


@pytest.fixture(scope="session")
def vae_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vae")


@pytest.fixture(scope="session")
def vae_exported(vae, vae_folder):
    """The autoencoder in the default formats."""
    return export_model(vae.backbone, vae.split, vae_folder)


@pytest.fixture(scope="session")
def many_items() -> Case:
    """An item table that would take 15 MB if it were decoded."""
    return make_case(DotProduct, 4, 60_000, 64, sparsity=0.9)


@pytest.fixture(scope="session")
def large() -> Case:
    """More items than 16 bits can number."""
    return make_case(DotProduct, 4, 40_000, 3)
