"""What every method promises, run over all that are found."""

import numpy as np
import pytest
import rich.console

from dsl_tf import plugins, results
from dsl_tf.evaluation import protocols, references
from dsl_tf.methods import base
from dsl_tf.training.evaluator import Evaluator

METHODS = plugins.names("dsl_tf.methods")


@pytest.fixture
def config(small_config):
    small_config.model.update(gmf_dim=32, mlp_dim=32)
    small_config.train.epochs = 5
    small_config.train.checkpoint_minutes = 1e9
    return small_config


@pytest.fixture(scope="module")
def _trained():
    return {}


@pytest.fixture(params=METHODS)
def trained(request, config, small_split, tmp_path_factory, _trained):
    """What the method made of the small data, once for all tests."""
    name = request.param
    config.method.name = name
    if name not in _trained:
        console = rich.console.Console(quiet=True)
        task = base.Task(small_split, 0, tmp_path_factory.mktemp(name), console)
        method = plugins.find("dsl_tf.methods", name, "method")
        _trained[name] = method.train(task, config)
    return _trained[name]


def test_finds_structure_that_popularity_has_not(trained, config, small_split):
    popular = references.popularity_scores(small_split.train, small_split.num_items)
    popularity = protocols.find("full_ranking").evaluate(
        references.same_for_all(popular), small_split, "test", cutoffs=(20,), seed=0
    )
    config.evaluation.protocol = "full_ranking"
    result = Evaluator(trained.model, config, small_split, "test")()
    assert result.mean["recall@20"] > 1.15 * popularity.mean["recall@20"]
    losses = [row["loss"] for row in trained.passes[0].state.history]
    assert losses[-1] < 0.9 * losses[0]


def test_sparsity_is_exact(trained, config):
    for weight in trained.model.sparse_weights():
        size = weight.shape[0] * weight.shape[1]
        assert weight.nnz == round((1 - config.sparsity.target) * size)
        assert np.count_nonzero(weight.mask()) == weight.nnz
        effective = weight.read().numpy()
        assert not effective[~weight.mask()].any()


def test_cost_counts_every_pass(trained, config):
    cost = results.costs(trained, base_rss_bytes=1)
    passes = cost["training"]["passes"]
    assert len(passes) == len(trained.passes) >= 1
    assert cost["training"]["steps"] == sum(each["steps"] for each in passes)
    assert cost["training"]["macs"] == sum(each["macs"] for each in passes)
    assert all(each["seconds"] > 0 for each in passes)
    sparse = trained.model.sparse_weights()
    assert cost["sparsity"] == (config.sparsity.target if sparse else 0.0)
    zeros = cost["parameters"] - cost["nonzeros"]
    assert zeros == sum(w.shape[0] * w.shape[1] - w.nnz for w in sparse)


def test_restores_what_it_trained(trained, config, small_split):
    method = plugins.find("dsl_tf.methods", config.method.name, "method")
    tables = method.make_tables(config, small_split, 0)
    model, _ = base.make_model(small_split, config, tables, 0)
    assert [w.name for w in model.weights] == [w.name for w in trained.model.weights]
