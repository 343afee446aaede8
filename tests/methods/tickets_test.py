import gc
import weakref

import numpy as np
import pytest

from dsl_tf.errors import UserError
from dsl_tf.methods import (
    _tickets,
    _training,
    base,
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
def test_what_is_gone_back_to_is_in_the_account(take, small_config, method, states):
    """Dense weights and masks, in memory while the sparse model is trained."""
    small_config.train.epochs = 1
    small_config.method.without_rewinding.share = 0.5
    plain, held = (
        take(each.train, small_config).passes[-1].cost.state_bytes
        for each in (random_pruning, method)
    )
    positions = (400 + 400) * small_config.model.embedding_dim
    assert held - plain == (states * 4 + 1) * positions


@pytest.fixture
def nothing_is_collected():
    gc.disable()
    yield
    gc.enable()


def test_a_model_is_gone_when_the_next_is_made(
    task, small_config, monkeypatch, nothing_is_collected
):
    """Tables and moments of two passes at a time would double the memory."""
    small_config.train.epochs = 1
    small_config.method.without_rewinding.share = 0.5
    small_config.sparsity.target = 0.75
    models, make = [], _training.make_model

    def made(*arguments):
        assert not any(model() for model in models)
        model, batches = make(*arguments)
        models.append(weakref.ref(model))
        return model, batches

    monkeypatch.setattr(_training, "make_model", made)
    base.train(task, small_config, without_rewinding.train)
    assert len(models) == 3
