import numpy as np

from dsl_tf.methods import magnitude_pruning


def test_dense_then_pruned_once_rewound_and_trained_again(
    take, small_config, check_largest
):
    small_config.train.epochs = 1
    small_config.sparsity.target = 0.75
    taken = take(magnitude_pruning.train, small_config)
    assert list(taken.began) == ["dense", "select"]
    initial, trained = taken.began["dense"], taken.ended["dense"]
    assert not initial.masks
    began, ended = taken.began["select"], taken.ended["select"]
    check_largest(began.masks, trained.tables, 0.75)
    for name, mask in began.masks.items():
        rewound = np.where(mask, initial.tables[name], 0.0)
        np.testing.assert_array_equal(began.tables[name], rewound)
        np.testing.assert_array_equal(ended.masks[name], mask)
        assert np.any(ended.tables[name] != rewound)
        # By the initial weights others would stay.
        magnitude = np.abs(initial.tables[name])
        assert magnitude[mask].min() < magnitude[~mask].max()
    for ours, theirs in zip(began.network, initial.network, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    dense, sparse = taken.passes
    assert (dense.name, sparse.name) == ("dense", "select")
    assert dense.cost.steps == sparse.cost.steps > 0
    assert dense.cost.macs.total > sparse.cost.macs.total > 0
