import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.methods import (
    _tickets,
    magnitude_pruning,
    pep,
    random_pruning,
    without_rewinding,
)


def test_sparsities_of_the_rounds():
    assert _tickets.sparsities(0.8, 1.0) == [0.8]
    found = _tickets.sparsities(0.5, 0.1)
    np.testing.assert_allclose(found[:-1], 1 - 0.9 ** np.arange(1, 7))
    assert found[-1] == 0.5
    assert len(_tickets.sparsities(0.8, 0.1)) == 16
    # Whole rounds: no one more for a rounding error.
    assert _tickets.sparsities(0.75, 0.5) == [0.5, 0.75]
    assert _tickets.sparsities(0.0, 0.1) == [0.0]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_share_out_of_range(share):
    with pytest.raises(UserError, match=r"must be in \(0, 1\]"):
        _tickets.sparsities(0.5, share)


@pytest.mark.parametrize(
    ("method", "states"), [(magnitude_pruning, 1), (pep, 1), (without_rewinding, 2)]
)
def test_what_is_gone_back_to_is_in_the_account(take, mf_config, method, states):
    """Dense weights, in memory while the sparse model is trained."""
    mf_config.train.epochs = 1
    mf_config.method.without_rewinding.share = 0.5
    plain, held = (
        take(each.train, mf_config).passes[-1].cost.state_bytes
        for each in (random_pruning, method)
    )
    rows = 400 + 400
    assert held - plain == states * 4 * rows * mf_config.model.embedding_dim
