import gc

import numpy as np
import pytest
import rich.console

from dsl_tf.errors import UserError
from dsl_tf.methods import base, sparserec
from dsl_tf.sparsity.initialization import GivenMask
from dsl_tf.sparsity.nmf import NmfMasks


@pytest.fixture
def task(small_split, tmp_path):
    return base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))


def test_gradients_are_summed_over_the_whole_interval(small_config):
    small_config.sparsity.update_interval = 30
    callback = sparserec.explorations(small_config, 1000, 0).callback
    assert callback.next_horizon == 30
    small_config.sparsity.update(update_interval=0, end_fraction=1.0)
    callback = sparserec.explorations(small_config, 1000, 0).callback
    assert callback.next_horizon == 20


def test_what_grows_is_chosen_by_the_whole_interval(exchange, small_config):
    """Its last step pulls at another column."""
    small_config.method.sparserec.update(nmf=False, sampled_rows=1.0)
    found = exchange(sparserec, 3, 9)
    rows, columns = np.nonzero(found.grown)
    assert len(rows) > 0
    assert np.mean(columns == 3) > 0.9


@pytest.mark.parametrize("budget", ["joint", "per_table"])
def test_masks_are_those_of_the_factorisation(small_config, small_split, budget):
    small_config.sparsity.update(target=0.5, budget=budget)
    matrix = small_split.train.csr(small_split.num_users, small_split.num_items)
    with_nmf, without = (
        base.make_backbone(
            small_split,
            small_config,
            sparserec.make_tables(small_config, small_split, 0, masks),
            0,
        )
        for masks in (NmfMasks(lambda: matrix, 50, 0), None)
    )
    for ours, random in zip(
        with_nmf.sparse_weights(), without.sparse_weights(), strict=True
    ):
        assert ours.nnz == random.nnz == np.count_nonzero(ours.mask())
        assert not np.array_equal(ours.mask(), random.mask())
        assert ours.mask().any(axis=1).all()


def test_the_factorisation_is_a_pass_of_its_own(small_config, task, monkeypatch):
    """It is counted where it is done, and not done where runs are only counted."""
    small_config.train.update(epochs=1, refit=True)
    small_config.sparsity.update_interval = 10
    trained = base.train(task, small_config, sparserec.train)
    names = ["factorise", "select", "factorise_refit", "refit"]
    assert [each.name for each in trained.passes] == names
    for each in trained.passes[::2]:
        assert each.cost.seconds > 0
        assert each.cost.macs.forward > 1000
    assert trained.passes[0].cost.macs < trained.passes[2].cost.macs  # more data
    # Factors are as large as dense tables.
    dense = 4 * sum(w.shape[0] * w.shape[1] for w in trained.model.sparse_weights())
    assert trained.passes[0].cost.state_bytes == dense
    monkeypatch.setattr(NmfMasks, "factored", None)
    planned = base.planned(task, small_config, sparserec.train)
    assert [each.name for each in planned] == 2 * names[:2]
    assert planned[0].cost.layers == trained.passes[0].cost.layers
    again = base.restore(task, small_config, sparserec.train)
    for ours, theirs in zip(
        again.model.get_weights(), trained.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    small_config.method.sparserec.nmf = False
    random = base.planned(task, small_config, sparserec.train)
    assert [each.name for each in random] == 2 * ["select"]
    small_config.method.sparserec.nmf, small_config.sparsity.target = True, 0.0
    unmasked = base.planned(task, small_config, sparserec.train)
    assert [each.name for each in unmasked] == 2 * ["select"]


def test_no_factor_is_held_while_the_table_is_trained(small_config, task, monkeypatch):
    """They are dense, as no other part of its state is."""
    held = []

    def watched(self, *args, original=sparserec.dsl.DynamicSparseTraining._explore):
        gc.collect()
        found = [x for x in gc.get_objects() if isinstance(x, NmfMasks | GivenMask)]
        held.append([each for each in found if getattr(each, "_found", True)])
        original(self, *args)

    monkeypatch.setattr(sparserec.dsl.DynamicSparseTraining, "_explore", watched)
    small_config.train.epochs = 1
    small_config.sparsity.update_interval = 10
    base.train(task, small_config, sparserec.train)
    assert held
    assert not any(held)


def test_only_sampled_rows_grow(small_config, task, monkeypatch):
    small_config.train.epochs = 2
    small_config.sparsity.update(target=0.5, update_interval=5, budget="joint")
    small_config.sparsity.initial_update_ratio = 0.05
    small_config.method.sparserec.update(nmf=False, sampled_rows=0.25)
    seen = []
    explore = sparserec.dsl.DynamicSparseTraining._explore

    def watched(self, step, ratio):
        for name, weight in self.sparse_weights().items():
            sampled = weight.recorder._sampled.numpy()
            rows = weight.recorder.recorded()[0].numpy()
            assert len(rows) > 0
            assert sampled[rows].all()
            seen.append((name, step, sampled))
        explore(self, step, ratio)

    monkeypatch.setattr(sparserec.dsl.DynamicSparseTraining, "_explore", watched)
    trained = base.train(task, small_config, sparserec.train)
    assert sum(row["exchange_done"] for row in trained.selection.history) > 0
    name = seen[0][0]
    samples = [sampled for each, _, sampled in seen if each == name]
    assert len(samples) > 2
    rows = len(samples[0])
    assert all(np.count_nonzero(each) == round(0.25 * rows) for each in samples)
    assert not np.array_equal(samples[0], samples[1])
    # Active users and items are in it more often.
    split = task.split
    use = np.concatenate([split.activity(), split.popularity()])
    often = np.mean(samples, axis=0)
    assert often[use > np.median(use)].mean() > 1.5 * often[use < np.median(use)].mean()


@pytest.mark.parametrize(
    ("key", "value"), [("sampled_rows", 0.0), ("nmf_iterations", 0)]
)
def test_keys_out_of_range(small_config, task, key, value):
    small_config.method.sparserec[key] = value
    with pytest.raises(UserError, match=f"`method.sparserec.{key}` must be"):
        base.train(task, small_config, sparserec.train)
