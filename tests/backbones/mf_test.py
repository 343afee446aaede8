import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from dsl_tf import config_files
from dsl_tf.backbones import mf
from dsl_tf.errors import UserError

USERS, ITEMS = 5, 7


def _rows(model, batch):
    users = model.tables.users(tf.constant(batch["user"])).numpy()
    items = model.tables.items(tf.range(ITEMS)).numpy()
    rows = np.concatenate([batch["item"][:, None], batch["negatives"]], axis=1)
    return users, items[rows]


@pytest.mark.parametrize("sparsity", [None, 0.4])
@pytest.mark.parametrize("loss", ["bpr", "sampled_softmax"])
def test_loss(make_tables, batch, sparsity, loss):
    model = mf.MF(USERS, ITEMS, make_tables(sparsity), 4, loss, initial_stddev=1.0)
    logits = np.einsum("bd,bnd->bn", *_rows(model, batch))
    np.testing.assert_allclose(model(batch), logits, rtol=1e-4, atol=1e-6)
    p = {
        "bpr": scipy.special.expit(logits[:, :1] - logits[:, 1:]),
        "sampled_softmax": scipy.special.softmax(logits, axis=1)[:, 0],
    }[loss]
    assert float(model.compute_loss(batch)) == pytest.approx(
        -np.log(p).mean(), rel=1e-5
    )


def test_shared_negatives(make_tables, batch):
    model = mf.MF(USERS, ITEMS, make_tables(), 4)
    shared = {**batch, "negatives": np.array([[6, 3, 0]], np.int32)}
    each = {**batch, "negatives": np.tile([6, 3, 0], (4, 1)).astype(np.int32)}
    np.testing.assert_allclose(model(shared), model(each), rtol=1e-5)


def test_regularization(make_tables, batch):
    plain, penalised = (
        mf.MF(USERS, ITEMS, make_tables(), 4, regularization=r, initial_stddev=1.0)
        for r in (0.0, 0.1)
    )
    users, items = _rows(plain, batch)
    expected = 0.1 * 0.5 * (np.square(users).sum() + np.square(items).sum()) / 4
    difference = penalised.compute_loss(batch) - plain.compute_loss(batch)
    assert float(difference) == pytest.approx(expected, rel=1e-4)


def test_initial_weights(make_tables):
    tables = type(make_tables())(2000, 3000)
    model = mf.MF(2000, 3000, tables, 8, initial_stddev=0.3)
    values = model.item_vectors().numpy()
    assert values.std() == pytest.approx(0.3, rel=0.03)
    assert abs(values.mean()) < 0.01


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("embedding_dim", 0, "at least 1"),
        ("initial_stddev", -1.0, "above 0"),
        ("regularization", -0.1, "at least 0"),
    ],
)
def test_keys_out_of_range(small_split, make_tables, key, value, rule):
    config = config_files.load(config_files.find("mf.py"), "own")
    config.model[key] = value
    with pytest.raises(UserError, match=f"`model.{key}` must be {rule}"):
        mf.build(config.model, small_split, make_tables(), seed=0)
