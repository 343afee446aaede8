import numpy as np

from dsl_tf.methods import lottery_ticket


def test_each_round_prunes_a_share_and_begins_with_the_initial_weights(
    take, small_config, check_largest
):
    small_config.train.epochs = 1
    small_config.sparsity.target = 0.5
    small_config.method.lottery_ticket.share = 0.25
    taken = take(lottery_ticket.train, small_config)
    # 3/4 and 9/16 are left, of which one more share would be too much.
    sparsities = {"round_1": 1 / 4, "round_2": 7 / 16, "select": 1 / 2}
    assert list(taken.began) == ["dense", *sparsities]
    assert [each.name for each in taken.passes] == ["dense", *sparsities]
    initial = taken.began["dense"]
    before = taken.ended["dense"]
    for name, sparsity in sparsities.items():
        began, ended = taken.began[name], taken.ended[name]
        # Nested: of what the round before had.
        check_largest(began.masks, before.tables, sparsity, before.masks or None)
        for table, mask in began.masks.items():
            rewound = np.where(mask, initial.tables[table], 0.0)
            np.testing.assert_array_equal(began.tables[table], rewound)
            np.testing.assert_array_equal(ended.masks[table], mask)
            assert np.any(ended.tables[table] != rewound)
        for ours, theirs in zip(began.network, initial.network, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        before = ended
    for weight in taken.model.sparse_weights():
        assert weight.nnz == weight.shape[0] * weight.shape[1] // 2
