"""What a search may vary."""

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from dsl_tf import config_files
from dsl_tf.errors import UserError
from dsl_tf.tuning import space


@pytest.fixture
def config():
    return config_files.load(config_files.find("neumf.py"), "demo")


def test_texts():
    assert space.parse("train.epochs=2..9") == (
        "train.epochs",
        {"low": 2, "high": 9, "log": False},
    )
    assert space.parse("train.learning_rate=1e-4..0.1:log") == (
        "train.learning_rate",
        {"low": 1e-4, "high": 0.1, "log": True},
    )
    assert space.parse("growth.horizon=auto,1") == ("growth.horizon", ("auto", 1))
    assert space.parse("train.refit=True,False")[1] == (True, False)
    for wrong in ("train.epochs", "=1,2", "train.epochs="):
        with pytest.raises(UserError, match=r"KEY=LOW\.\.HIGH"):
            space.parse(wrong)


def test_distributions_have_the_types_of_the_keys(config):
    found = space.distributions(
        {
            "train.epochs": {"low": 2, "high": 9},
            "model.dropout": {"low": 0, "high": 0.5},
            "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "train.negatives": (1, 4),
            "model.mlp_layers": ((16, 8), (8,)),
        },
        config,
    )
    assert found == {
        "train.epochs": IntDistribution(2, 9),
        "model.dropout": FloatDistribution(0.0, 0.5),
        "train.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "train.negatives": CategoricalDistribution([1, 4]),
        "model.mlp_layers": CategoricalDistribution(["[16, 8]", "[8]"]),
    }


@pytest.mark.parametrize(
    ("key", "spec", "rule"),
    [
        ("train.epoch", (1, 2), "Did you mean train.epochs"),
        ("train.epochs", {"low": 1.5, "high": 3}, "numbers of its type"),
        ("train.epochs", {"low": 3, "high": 2}, "numbers of its type"),
        ("train.epochs", ("few", "many"), "values of it"),
        ("train.refit", {"low": 0, "high": 1}, "numbers of its type"),
        ("model.dropout", {"low": 0.0, "high": 0.5, "log": True}, "only above 0"),
        ("model.loss", {"low": 1, "high": 2}, "numbers of its type"),
    ],
)
def test_a_mistake_is_one_line(config, key, spec, rule):
    with pytest.raises(UserError, match=rule) as error:
        space.distributions({key: spec}, config)
    assert "\n" not in str(error.value)


def test_nothing_to_vary(config):
    with pytest.raises(UserError, match="--vary"):
        space.distributions({}, config)


def test_values_of_tuples_come_back_as_tuples(config):
    settings = space.settings({"model.mlp_layers": "[8]", "train.epochs": 3}, config)
    assert settings == {"model.mlp_layers": (8,), "train.epochs": 3}


def test_the_configs_own_values_or_the_nearest_that_the_space_has(config):
    config.train.epochs, config.model.loss = 10, "bce"
    config.model.regularization = 0.0
    found = space.distributions(
        {
            "train.epochs": {"low": 1, "high": 9},
            "model.loss": ("bce", "bpr"),
            "model.regularization": {"low": 1e-5, "high": 0.1, "log": True},
            "train.batch_size": (7, 8),
            "model.mlp_layers": (tuple(config.model.mlp_layers), (8,)),
        },
        config,
    )
    layers = space.stored(config.model.mlp_layers, config.model.mlp_layers)
    assert space.own(found, config) == {
        "train.epochs": 9,
        "model.loss": "bce",
        "model.regularization": 1e-5,
        "model.mlp_layers": layers,
    }
    assert space.others(found, config) == {
        "train.epochs": 10,
        "model.regularization": 0.0,
        "train.batch_size": config.train.batch_size,
    }


def _files():
    folder = config_files.find("mf.py").parent
    return sorted(p for p in folder.glob("*.py") if p.stem not in ("__init__", "base"))


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.stem)
@pytest.mark.parametrize("method", ["dense", "dsl"])
def test_declared_spaces_are_sound(path, method):
    config = config_files.load(path, "own")
    config.method.name = method
    found = space.declared(path, config)
    assert space.distributions(found, config).keys() == found.keys()
    assert "train.learning_rate" in found
    assert ("sparsity.update_interval" in found) == (method == "dsl")
