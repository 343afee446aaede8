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


def test_another_splits_sizes_are_refused(neumf, tied):
    with pytest.raises(ValueError, match=r"as many users and items.*\(3, 5\)"):
        freeze(neumf.backbone, tied.split)
