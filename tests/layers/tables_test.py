import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.layers.tables import DenseTables, JointTables, SparseTables

ACTIVITY, POPULARITY = np.arange(1, 7), np.arange(1, 5)


def sparse(joint, **settings):
    settings = {"sparsity": 0.5, "storage": "masked", "seed": 0, **settings}
    return SparseTables(ACTIVITY, POPULARITY, joint=joint, **settings)


FACTORIES = {
    "dense": DenseTables(6, 4),
    "joint": sparse(True),
    "per_table": sparse(False),
}


@pytest.mark.parametrize("kind", FACTORIES)
def test_users_and_items_have_rows_of_their_own(kind):
    normal = keras.initializers.RandomNormal(seed=3)
    tables = FACTORIES[kind].user_item(8, "gmf", normal)
    users, items = tables.users(tf.range(6)), tables.items(tf.range(4))
    assert (users.shape, items.shape) == ((6, 8), (4, 8))
    # With one seed for both, each user would begin as a copy of an item.
    values = np.concatenate([users, items]).ravel()
    values = values[values != 0]
    assert len(np.unique(values)) == len(values)
    again = FACTORIES[kind].user_item(8, "gmf", normal)
    np.testing.assert_array_equal(again.users(tf.range(6)), users)


def test_a_joint_table_holds_the_users_first():
    tables = sparse(True).user_item(2, "gmf", keras.initializers.Ones())
    assert isinstance(tables, JointTables)
    tables.items(tf.constant([0]))
    weight = tables.table.embeddings
    assert (weight.shape, weight.nnz) == ((10, 2), 10)
    np.testing.assert_array_equal(
        tables.items(tf.constant([0, 3])), weight.lookup(tf.constant([6, 9]))
    )


def test_a_budget_each():
    tables = sparse(False).user_item(4, "gmf", keras.initializers.Ones())
    tables.users(tf.constant([0]))
    tables.items(tf.constant([0]))
    assert tables.user_table.embeddings.nnz == 12
    assert tables.item_table.embeddings.nnz == 8


def test_few_weights_go_to_the_popular_of_both():
    tables = sparse(True, sparsity=0.8).user_item(2, "gmf", keras.initializers.Ones())
    with pytest.warns(UserWarning, match="without any weight"):
        tables.users(tf.constant([0]))
    # 4 weights: activity 6, 5 and, of activity 4 and popularity 4, both.
    rows = np.flatnonzero(tables.table.embeddings.mask().any(axis=1))
    assert rows.tolist() == [3, 4, 5, 9]


@pytest.mark.parametrize("kind", FACTORIES)
def test_an_unseeded_initializer_will_do(kind):
    tables = FACTORIES[kind].user_item(2, "gmf", keras.initializers.Ones())
    assert tables.users(tf.constant([5])).shape == (1, 2)


@pytest.mark.parametrize("kind", FACTORIES)
def test_square_sum_is_that_of_the_dense_form(kind):
    """And so is its gradient: 2 · each weight, in the form the table stores."""
    tables = FACTORIES[kind].user_item(
        8, "gmf", keras.initializers.RandomNormal(seed=3)
    )
    tables.users(tf.constant([0]))
    tables.items(tf.constant([0]))
    whole = tables.whole().numpy()
    with tf.GradientTape() as tape:
        squares = tables.square_sum()
    assert float(squares) == pytest.approx(np.square(whole).sum(), rel=1e-6)
    weights = tables.trainable_variables
    for weight, gradient in zip(weights, tape.gradient(squares, weights), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), 2 * weight.numpy())
