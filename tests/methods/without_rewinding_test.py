import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.methods import lottery_ticket, without_rewinding


@pytest.fixture
def config(small_config):
    """Two rounds: 0.7 of the weights are left, then a half."""
    small_config.train.epochs = 1
    small_config.sparsity.target = 0.5
    small_config.method.without_rewinding.share = 0.3
    return small_config


def _equal(one, other):
    """Whether two states are the same where both have weights, or differ everywhere."""
    found = [
        one.tables[name][mask] == other.tables[name][mask]
        for name, mask in one.masks.items()
    ]
    # Biases begin with zero, whatever is drawn.
    found += [
        ours == theirs
        for ours, theirs in zip(one.network, other.network, strict=True)
        if np.any(ours != 0) and np.any(theirs != 0)
    ]
    shares = {float(np.mean(each)) for each in found}
    assert shares <= {0.0, 1.0}
    (share,) = shares
    return share == 1.0


def _rounds(taken):
    """The state before each round, and the one that it began with."""
    assert list(taken.began) == ["dense", "round_1", "select"]
    yield 0.3, taken.ended["dense"], taken.began["round_1"]
    yield 0.5, taken.ended["round_1"], taken.began["select"]


def test_each_round_begins_with_newly_drawn_weights(take, config, check_largest):
    taken = take(without_rewinding.train, config)
    for sparsity, before, began in _rounds(taken):
        check_largest(began.masks, before.tables, sparsity, before.masks or None)
        assert not _equal(began, taken.began["dense"])
        assert not _equal(began, before)
    assert not _equal(taken.began["select"], taken.began["round_1"])


def test_with_rewind_none_it_goes_on_from_the_trained_weights(
    take, config, check_largest
):
    config.method.without_rewinding.rewind = "none"
    taken = take(without_rewinding.train, config)
    for sparsity, before, began in _rounds(taken):
        check_largest(began.masks, before.tables, sparsity, before.masks or None)
        assert _equal(began, before)
        for ours, theirs in zip(began.network, before.network, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_with_rewind_init_it_is_a_lottery_ticket(take, small_config):
    small_config.train.epochs = 1
    small_config.method.without_rewinding.update(rewind="init", share=0.5)
    small_config.method.lottery_ticket.share = 0.5
    ours = take(without_rewinding.train, small_config).ended["select"]
    theirs = take(lottery_ticket.train, small_config).ended["select"]
    for name, table in theirs.tables.items():
        np.testing.assert_array_equal(ours.tables[name], table)


def test_an_unknown_rewind_is_told_before_training(take, config):
    config.method.without_rewinding.rewind = "back"
    with pytest.raises(UserError, match=r"init, random, none\. Received: 'back'"):
        take(without_rewinding.train, config)
