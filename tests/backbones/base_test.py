import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.backbones import neumf
from dsl_tf.layers import blockwise


@pytest.mark.parametrize("pairs", [1, 7, 20, 1 << 15])
def test_scores_do_not_depend_on_how_many_users_go_at_once(
    make_tables, monkeypatch, pairs
):
    model = neumf.NeuMF(5, 7, make_tables(0.3), 3, 2, (4, 3))
    users = tf.constant([4, 1, 1, 0, 2])
    expected = model.interaction(
        model.user_vectors({"user_id": users}), model.item_vectors()
    )
    monkeypatch.setattr(blockwise, "PAIRS_AT_ONCE", pairs)
    np.testing.assert_allclose(model.score({"user_id": users}), expected, rtol=1e-5)


def test_sparse_weights_in_the_order_of_the_layers(make_tables):
    model = neumf.NeuMF(5, 7, make_tables(0.3), 3, 2, (4,))
    row = tf.zeros([1], tf.int32)
    model({"user": row, "item": row, "negatives": row[:, None]})
    assert [weight.shape for weight in model.sparse_weights()] == [(12, 3), (12, 2)]
    assert neumf.NeuMF(5, 7, make_tables(), 3, 2, (4,)).sparse_weights() == []
