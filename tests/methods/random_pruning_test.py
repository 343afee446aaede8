import numpy as np

from dsl_tf.methods import dsl, random_pruning


def test_the_first_mask_stays_and_its_weights_are_trained(take, small_config):
    small_config.sparsity.target = 0.8
    taken = take(random_pruning.train, small_config)
    began, ended = taken.began["select"], taken.ended["select"]
    (name,) = began.masks
    mask = began.masks[name]
    np.testing.assert_array_equal(ended.masks[name], mask)
    assert np.count_nonzero(mask) == round(0.2 * mask.size)
    changed = ended.tables[name] != began.tables[name]
    assert not np.any(changed & ~mask)
    assert np.mean(changed[mask]) > 0.95
    # What nobody asks for is not recorded.
    assert all(weight.recorder is None for weight in taken.model.sparse_weights())
    assert [
        row for row in taken.passes[0].state.history if "exchange_done" in row
    ] == []


def test_the_mask_is_drawn_from_the_seed_alike_in_all_rows_and_columns(
    take, small_config
):
    small_config.train.epochs = 1
    masks = []
    for seed in (0, 1):
        taken = take(random_pruning.train, small_config, seed)
        (mask,) = taken.began["select"].masks.values()
        masks.append(mask)
        rows = len(mask)
        deviation = np.sqrt(rows / 4)
        counts = np.count_nonzero(mask, axis=0)
        assert np.abs(counts - rows / 2).max() < 5 * deviation
        users = np.count_nonzero(mask[: rows // 2])
        assert abs(users - mask.size / 4) < 5 * np.sqrt(mask.size / 16)
    # Of independent draws a quarter of the positions is in both.
    both = np.mean(masks[0] & masks[1])
    assert abs(both - 0.25) < 0.02


def test_it_is_dsl_that_exchanges_nothing(take, small_config):
    small_config.train.epochs = 1
    ours = take(random_pruning.train, small_config).ended["select"]
    small_config.sparsity.initial_update_ratio = 0.0
    theirs = take(dsl.train, small_config).ended["select"]
    for name, table in theirs.tables.items():
        np.testing.assert_array_equal(ours.tables[name], table)
