import dataclasses

import numpy as np
import pytest

from dsl_tf.backbones import base
from dsl_tf.evaluation.ranking import tie_order
from dsl_tf.export.frozen import freeze


def test_everything_about_items_is_by_position(tied):
    frozen = freeze(tied.backbone, tied.split, tied.seed)
    users, items = tied.tables()
    order = np.asarray(tie_order(5, tied.seed))
    np.testing.assert_array_equal(frozen.order.items(np.arange(5)), order)
    np.testing.assert_array_equal(frozen.users.toarray(), users)
    np.testing.assert_array_equal(frozen.items.toarray(), items[order])
    assert frozen.items.nnz == 3
    np.testing.assert_array_equal(frozen.popularity, np.array([0, 2, 1, 0, 1])[order])
    histories = [
        sorted(order[frozen.history[begin:end]].tolist())
        for begin, end in zip(
            frozen.history_offsets[:-1], frozen.history_offsets[1:], strict=True
        )
    ]
    assert histories == [[0, 1], [1, 2], [4]]


@pytest.mark.parametrize("weights", [64 * 70, 64 * 900])
def test_tables_are_read_some_rows_at_a_time(dot_product, monkeypatch, weights):
    whole = freeze(dot_product.backbone, dot_product.split)
    asked = []
    read = dot_product.backbone.item_vectors

    def item_vectors(items, prepared=None):
        asked.append(len(items))
        return read(items)

    monkeypatch.setattr(dot_product.backbone, "item_vectors", item_vectors)
    monkeypatch.setattr(base, "WEIGHTS_AT_ONCE", weights)
    blocks = freeze(dot_product.backbone, dot_product.split)
    assert max(asked) == weights // 64
    assert (blocks.items != whole.items).nnz == 0
    assert (blocks.users != whole.users).nnz == 0
    assert blocks.items.nnz == np.count_nonzero(dot_product.tables()[1])


def test_only_the_interactions_variables_are_taken(neumf, tied):
    network = freeze(neumf.backbone, neumf.split).network
    backbone = neumf.backbone
    wanted = backbone.hidden.variables + backbone.out.variables
    assert {id(v) for v in network} == {id(v) for v in wanted}
    assert freeze(tied.backbone, tied.split).network_bytes == 0
    assert freeze(backbone, neumf.split).network_bytes == (8 * 6 + 6 + 10 + 1) * 4


@pytest.fixture(params=["vae", "cdae"])
def autoencoder(request):
    return request.getfixturevalue(request.param)


def test_an_encoder_is_taken_along_by_position(autoencoder):
    backbone, split = autoencoder.backbone, autoencoder.split
    frozen = freeze(backbone, split, autoencoder.seed)
    order = np.asarray(tie_order(split.num_items, autoencoder.seed))
    np.testing.assert_array_equal(
        frozen.encoder.items.toarray(), backbone.inputs.numpy()[order]
    )
    np.testing.assert_array_equal(frozen.encoder.counts, split.activity())
    for user in (0, 1, 39):
        begin, end = frozen.history_offsets[user : user + 2]
        history = order[frozen.history[begin:end]]
        training = history[: frozen.encoder.counts[user]]
        np.testing.assert_array_equal(
            training, split.train.items[split.train.users == user]
        )
        assert sorted(history) == sorted(autoencoder.history(user))
        np.testing.assert_allclose(
            frozen.users[[user]].toarray()[0],
            autoencoder.vector(training, user),
            rtol=1e-5,
            atol=1e-6,
        )
    assert frozen.network_bytes == 4 * backbone.kernel.shape.num_elements()
    assert [id(v) for v in frozen.network] == [id(backbone.kernel)]


def test_own_rows_that_were_not_trained_on_are_left_out(cdae):
    users = freeze(cdae.backbone, cdae.split).encoder.users
    own = cdae.backbone.users.numpy()
    assert cdae.split.activity()[0] == 0
    assert own[0].all()
    own[0] = 0
    np.testing.assert_array_equal(users.toarray(), own)
    assert users.nnz == np.count_nonzero(own)


def test_users_held_out_are_known_by_their_fold_in(cdae):
    """As the evaluation asks for them: without an own row."""
    train = cdae.split.train
    out = train.users == 7
    split = dataclasses.replace(
        cdae.split, train=train.take(~out), fold_in=train.take(out)
    )
    frozen = freeze(cdae.backbone, split)
    np.testing.assert_allclose(
        frozen.users[[7]].toarray()[0], cdae.vector(train.items[out]), rtol=1e-5
    )
    others = freeze(cdae.backbone, cdae.split).users
    assert (frozen.users[8:] != others[8:]).nnz == 0


def test_what_a_backbone_lacks_is_none(tied, vae):
    assert freeze(tied.backbone, tied.split).encoder is None
    assert freeze(vae.backbone, vae.split).encoder.users is None


def test_another_splits_sizes_are_refused(neumf, tied):
    with pytest.raises(ValueError, match=r"as many users and items.*\(3, 5\)"):
        freeze(neumf.backbone, tied.split)
