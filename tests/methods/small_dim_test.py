import pytest
import rich.console

from dsl_tf import config_files
from dsl_tf.errors import UserError
from dsl_tf.methods import base, small_dim
from dsl_tf.methods._narrow import narrowed

WIDTHS = {
    "mf": {"embedding_dim": 64},
    "lightgcn": {"embedding_dim": 64},
    "neumf": {"gmf_dim": 128, "mlp_dim": 32},
    "cdae": {"hidden_dim": 50},
}


@pytest.mark.parametrize(
    ("name", "share", "expected"),
    [
        ("mf", 0.5, {"embedding_dim": 32}),
        ("mf", 0.7, {"embedding_dim": 44}),
        ("lightgcn", 0.1, {"embedding_dim": 6}),
        ("neumf", 0.25, {"gmf_dim": 32, "mlp_dim": 8}),
        ("cdae", 0.001, {"hidden_dim": 1}),
    ],
)
def test_widths(name, share, expected):
    config = config_files.load(config_files.find(f"{name}.py"))
    config.model.update(WIDTHS[name])
    before = config.to_json_best_effort()
    found = narrowed(config, share)
    for key, width in expected.items():
        assert found.model[key] == width
        assert width <= max(1, share * config.model[key] + 1e-6)
    assert config.to_json_best_effort() == before


def test_a_backbone_whose_width_is_bound_is_refused():
    config = config_files.load(config_files.find("convncf.py"))
    with pytest.raises(UserError, match="tables can have any width"):
        narrowed(config, 0.5)


def test_tables_take_the_budget(small_neumf, small_split, tmp_path):
    small_neumf.train.epochs = 1
    small_neumf.sparsity.target = 0.75
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    model = base.train(task, small_neumf, small_dim.train).model
    width = small_neumf.model.gmf_dim + small_neumf.model.mlp_dim
    assert model.item_vectors().shape == (small_split.num_items, width // 4)
    assert model.sparse_weights() == []
