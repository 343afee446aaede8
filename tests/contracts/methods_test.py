"""What every method promises, run over all that are found."""

import numpy as np
import pytest
import rich.console

from dsl_tf import config_files, plugins, results
from dsl_tf.evaluation import protocols, references
from dsl_tf.methods import base
from dsl_tf.methods._planning import Counted, Planning
from dsl_tf.training.evaluator import Evaluator
from dsl_tf.tuning import space

METHODS = plugins.names("dsl_tf.methods")

#: Of many passes or controllers, whose own tests train them too.
LONG = {"autoemb", "esapn", "pep", "tkd", "without-rewinding"}

#: Recall@20 over that of popularity, where 1.15 is too much to ask.
LITTLE = {
    "popularity": 1.0,
    # With half of the rows, three items in a row of one table are told apart by three
    # rows of the other, which all items share.
    "qr-hashing": 0.9,
}


@pytest.fixture
def config(small_neumf):
    small_neumf.model.update(gmf_dim=32, mlp_dim=32)
    small_neumf.train.epochs = 5
    small_neumf.train.validate_every = 5  # each takes as long as an epoch
    small_neumf.train.checkpoint_minutes = 1e9
    for name in ("lottery_ticket", "without_rewinding"):
        small_neumf.method[name].share = 0.3  # two rounds instead of seven
    return small_neumf


@pytest.fixture(scope="module")
def finished():
    return {}


def _marked(name):
    return pytest.param(name, marks=pytest.mark.slow if name in LONG else ())


@pytest.fixture(params=map(_marked, METHODS))
def trained(request, config, small_split, tmp_path_factory, finished):
    """What the method made of the small data, once for all tests."""
    name = request.param
    config.method.name = name
    if name not in finished:
        console = rich.console.Console(quiet=True)
        task = base.Task(small_split, 0, tmp_path_factory.mktemp(name), console)
        method = plugins.find("dsl_tf.methods", name, "method")
        finished[name] = base.train(task, config, method.train), task
    return finished[name][0]


def test_finds_structure_that_popularity_has_not(trained, config, small_split):
    popular = references.popularity_scores(small_split.train, small_split.num_items)
    popularity = protocols.find("full_ranking").evaluate(
        references.same_for_all(popular), small_split, "test", cutoffs=(20,), seed=0
    )
    config.evaluation.protocol = "full_ranking"
    result = Evaluator(trained.model, config, small_split, "test")()
    above = LITTLE.get(config.method.name, 1.15)
    assert result.mean["recall@20"] >= above * popularity.mean["recall@20"]
    losses = [row["loss"] for row in trained.selection.history]
    if len(losses) > 1:
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


def test_is_read_back_as_it_was_trained(trained, config, finished):
    name = config.method.name
    method = plugins.find("dsl_tf.methods", name, "method")
    again = base.restore(finished[name][1], config, method.train)
    assert [p.name for p in again.passes] == [p.name for p in trained.passes]
    for ours, theirs in zip(again.model.weights, trained.model.weights, strict=True):
        assert ours.name == theirs.name
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


#: Methods with settings that a search has nothing to do with.
NOT_SEARCHED = {
    # What is best is chosen on validation by the method itself.
    "mag-prune",
    "item-knn",
    "ease",
    # More bits are better.
    "quantised",
}


def test_methods_with_settings_have_a_space():
    with_settings = {*plugins.settings("dsl_tf.methods")} - {
        name.replace("-", "_") for name in NOT_SEARCHED
    }
    declared = {*plugins.literals("dsl_tf.methods", "SPACE")}
    assert declared == {"dsl", *with_settings}


class _First(Planning):
    """Makes what the first pass would begin with, of many steps, and no more."""

    def one(self, name, config, make_tables, make_companion=None, start=None):
        self.untrained(config, make_tables)
        if make_companion is not None:
            make_companion(config, 10_000, self.seed)
        raise Counted


def _corners(space):
    """Settings that have each end and each choice of a space at least once."""
    ends = {
        key: (each["low"], each["high"]) if isinstance(each, dict) else each
        for key, each in space.items()
    }
    for number in range(max(map(len, ends.values()))):
        yield {key: values[number % len(values)] for key, values in ends.items()}


@pytest.mark.parametrize("name", plugins.literals("dsl_tf.methods", "SPACE"))
def test_a_method_takes_all_values_of_its_space(name, config, small_split, tmp_path):
    config.method.name = name
    declared = space.declared(config_files.find("base.py"), config)
    space.distributions(declared, config)  # keys and types
    own, shared = f"method.{name}.", {"sparsity", "growth", "pruning"}
    for key in declared:
        assert key.startswith(own) or key.split(".")[0] in shared
    method = plugins.find("dsl_tf.methods", name, "method")
    for number, values in enumerate(_corners(declared)):
        config.update_from_flattened_dict(values)
        console = rich.console.Console(quiet=True)
        task = base.Task(small_split, 0, tmp_path / str(number), console)
        with pytest.raises(Counted):
            method.train(_First(task, config, small_split), config)


def test_a_method_that_is_another_with_more_has_its_space_too(config):
    config.method.name = "dsl"
    of_dsl = space.declared(config_files.find("base.py"), config)
    for name in ("dsl_plus", "sparserec"):
        config.method.name = name
        assert (
            of_dsl.items()
            < space.declared(config_files.find("base.py"), config).items()
        )


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["mf", "lightgcn"])
@pytest.mark.parametrize("name", METHODS)
def test_goes_with_other_backbones(name, backbone, config, small_split, tmp_path):
    model = config_files.load(config_files.find(f"{backbone}.py"), "own").model
    config.model = model
    config.train.update(epochs=2, sampling="shared", negatives=32)
    config.method.name = name
    config.method.rigl.update_interval = 10
    config.method.gradual_magnitude.frequency = 10
    method = plugins.find("dsl_tf.methods", name, "method")
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    trained = base.train(task, config, method.train)
    for weight in trained.model.sparse_weights():
        positions = weight.shape[0] * weight.shape[1]
        assert weight.nnz == round((1 - config.sparsity.target) * positions)
    scores = trained.model.score({"user_id": np.arange(20)}).numpy()
    assert scores.shape == (20, small_split.num_items)
    assert np.isfinite(scores).all()
    assert scores.std() > 0
