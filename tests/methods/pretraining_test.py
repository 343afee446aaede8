import dataclasses

import numpy as np
import pytest
import rich.console

from dsl_tf import config_files
from dsl_tf.errors import UserError
from dsl_tf.methods import _pretraining, base, dense, dsl, gradual_magnitude, pep

METHODS = {"dense": dense, "dsl": dsl}


@pytest.fixture
def config(small_config):
    config = config_files.load(config_files.find("convncf.py"), "demo")
    config.model.update(embedding_dim=8, channels=4, pretraining_epochs=2)
    config.sparsity.update(small_config.sparsity)
    config.sparsity.update_interval = 2  # of the six steps of the pretraining
    config.train.update(epochs=1, batch_size=1024)
    return config


def _task(split, folder):
    return base.Task(split, 0, folder, rich.console.Console(quiet=True))


def test_a_run_of_its_own_comes_first_where_the_backbone_wants_it(config, small_config):
    assert _pretraining.config_of(config).model.name == "mf"
    config.model.pretraining_epochs = 0
    assert _pretraining.config_of(config) is None
    assert _pretraining.config_of(small_config) is None


@pytest.mark.parametrize("storage", ["dense", "masked", "packed"])
def test_tables_are_copied_with_their_masks(config, small_split, storage):
    method = dense if storage == "dense" else dsl
    if storage != "dense":
        config.storage = storage
    first = _pretraining.config_of(config)
    # Another seed, so that nothing is alike before.
    tables = method.make_tables(first, small_split, 1)
    one, _ = base.make_model(small_split, first, tables, 1)
    tables = method.make_tables(config, small_split, 0)
    other, _ = base.make_model(small_split, config, tables, 0)
    assert not np.array_equal(one.item_vectors(), other.item_vectors())
    _pretraining.adopt(other, _pretraining.tables(one))
    np.testing.assert_array_equal(one.item_vectors(), other.item_vectors())
    query = {"user_id": np.arange(5)}
    np.testing.assert_array_equal(one.user_vectors(query), other.user_vectors(query))
    pairs = zip(one.sparse_weights(), other.sparse_weights(), strict=True)
    for mine, theirs in pairs:
        np.testing.assert_array_equal(mine.mask(), theirs.mask())


@pytest.mark.parametrize("key", ["loss", "embedding_dim"])
def test_mistakes_are_told_before_the_pretraining(config, small_split, tmp_path, key):
    config.model[key] = {"loss": "no_such_loss", "embedding_dim": 48}[key]
    with pytest.raises(UserError, match=key):
        base.train(_task(small_split, tmp_path), config, dense.train)
    assert not list(tmp_path.glob("*/step-*"))


def test_what_is_not_accepted_is_told_before_the_pretraining(
    config, small_split, tmp_path
):
    def accept(backbone):
        raise UserError(f"Not {backbone.name}.")

    task = dataclasses.replace(_task(small_split, tmp_path), accept=accept)
    with pytest.raises(UserError, match="Not convncf"):
        base.train(task, config, dsl.train)
    assert not list(tmp_path.glob("*/step-*"))


def test_a_schedule_without_steps_is_told_before_the_pretraining(
    config, small_split, tmp_path
):
    """It was told after it, as the next pass began."""
    config.method.gradual_magnitude.frequency = 10_000
    with pytest.raises(UserError, match=r"gradual_magnitude\.frequency` must be"):
        base.train(_task(small_split, tmp_path), config, gradual_magnitude.train)
    assert not list(tmp_path.glob("*/step-*"))


def test_tables_of_other_shapes_are_refused(config, small_split):
    tables = dense.make_tables(config, small_split, 0)
    model, _ = base.make_model(small_split, config, tables, 0)
    with pytest.raises(ValueError, match="alike"):
        _pretraining.adopt(model, [np.zeros((3, 8), np.float32)])


@pytest.mark.parametrize("name", [pytest.param("dense", marks=pytest.mark.slow), "dsl"])
def test_passes_in_order_each_counted_restored_and_resumed(
    config, small_split, tmp_path, name
):
    config.train.refit = True
    method = METHODS[name]
    trained = base.train(_task(small_split, tmp_path), config, method.train)
    names = ["pretrain", "select", "pretrain_refit", "refit"]
    assert [each.name for each in trained.passes] == names
    assert trained.selection is trained.passes[1].state
    # Matrix factorisation takes far less than a convolution.
    first, second = (each.cost for each in trained.passes[:2])
    assert second.macs.total / second.steps > 10 * first.macs.total / first.steps
    again = base.restore(_task(small_split, tmp_path), config, method.train)
    assert [p.state for p in again.passes] == [p.state for p in trained.passes]
    resumed = base.train(_task(small_split, tmp_path), config, method.train)
    for other in (again, resumed):
        for ours, theirs in zip(
            trained.model.get_weights(), other.model.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("method", "first", "second"),
    [(gradual_magnitude, "pretrain", "select"), (pep, "search_pretrain", "search")],
)
def test_what_prunes_begins_after_the_pretraining(config, take, method, first, second):
    """It went along, and a sparse table was searched, or pruned, again."""
    config.method.gradual_magnitude.update(frequency=1, end_fraction=0.9)
    config.method.pep.initial_threshold = -8.0  # next to no threshold
    taken = take(method.train, config)
    (before,) = (each for each in taken.passes if each.name == first)
    assert "nnz" not in before.state.history[-1]
    (trained,) = taken.ended[first].tables.values()
    assert np.count_nonzero(trained) == trained.size
    (started,) = taken.began[second].tables.values()
    np.testing.assert_allclose(started, trained, atol=1e-3)
    assert np.corrcoef(started.reshape(-1), trained.reshape(-1))[0, 1] > 0.99


def test_an_unknown_granularity_is_told_before_the_pretraining(config):
    config.method.pep.granularity = "user"
    with pytest.raises(UserError, match=r"`method.pep.granularity` must be one of"):
        pep.train(None, config)
