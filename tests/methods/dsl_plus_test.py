"""DSL that begins with more weights in rows of more interactions."""

import numpy as np
import pytest
import rich.console

from dsl_tf import config_files
from dsl_tf.backbones import convncf
from dsl_tf.errors import UserError
from dsl_tf.methods import base, dsl_plus
from dsl_tf.sparsity.nmf import NmfMasks


@pytest.fixture
def weights(small_neumf, small_split):
    """The sparse weights of a model before training, of a power."""

    def make(power, columns="nested", **sparsity):
        small_neumf.method.dsl_plus.update(columns=columns, popularity_power=power)
        small_neumf.sparsity.update(target=0.75, **sparsity)
        tables = dsl_plus.make_tables(small_neumf, small_split, 0)
        model = base.make_backbone(small_split, small_neumf, tables, 0)
        return model.sparse_weights()

    return make


@pytest.mark.parametrize("budget", ["joint", "per_table"])
def test_rows_begin_with_weights_by_their_interactions(weights, small_split, budget):
    use = [small_split.activity(), small_split.popularity()]
    use = [np.concatenate(use)] if budget == "joint" else use
    for place, weight in enumerate(weights(1.0, budget=budget)):
        each = use[place % len(use)]  # two pairs of tables, or two tables
        counts = weight.mask().sum(axis=1)
        assert counts.sum() == weight.nnz == round(0.25 * weight.mask().size)
        order = np.argsort(each, kind="stable")
        assert counts[order[:20]].mean() < counts[order[-20:]].mean() - 1
        assert counts.min() >= 1


def test_without_a_power_rows_are_alike(weights):
    for weight in weights(0.0):
        assert np.ptp(weight.mask().sum(axis=1)) <= 1


def test_any_two_rows_meet_in_the_columns_of_the_one_with_fewer(weights):
    for weight in weights(0.5):
        counts = weight.mask().sum(axis=1)
        first = np.arange(weight.shape[1]) < counts[:, None]
        np.testing.assert_array_equal(weight.mask(), first)


def test_columns_can_be_random(weights):
    for weight in weights(0.5, columns="random"):
        in_column = weight.mask().sum(axis=0)
        assert in_column.max() < 2 * in_column.min()


def test_columns_can_be_those_of_a_factorisation(weights, small_neumf, small_split):
    nested = [weight.mask() for weight in weights(0.5)]
    matrix = small_split.train.csr(small_split.num_users, small_split.num_items)
    factors = NmfMasks(lambda: matrix, 50, 0)
    tables = dsl_plus.make_tables(small_neumf, small_split, 0, factors)
    model = base.make_backbone(small_split, small_neumf, tables, 0)
    for before, weight in zip(nested, model.sparse_weights(), strict=True):
        mask = weight.mask()
        expected = factors.mask("both", mask.shape[1], weight.nnz)
        np.testing.assert_array_equal(mask, expected)
        assert not np.array_equal(mask, before)


def test_the_factorisation_is_a_pass_of_its_own(small_neumf, small_split, tmp_path):
    small_neumf.method.dsl_plus.columns = "factors"
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    first, second = base.planned(task, small_neumf, dsl_plus.train)
    assert (first.name, second.name) == ("factorise", "select")
    assert first.cost.macs.total > 1000
    small_neumf.sparsity.target = 0.0  # nothing is masked
    (only,) = base.planned(task, small_neumf, dsl_plus.train)
    assert only.name == "select"


def test_gradients_are_summed_over_the_whole_interval(small_neumf):
    small_neumf.sparsity.update_interval = 30
    assert dsl_plus.explorations(small_neumf, 1000, 0).callback.next_horizon == 30


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("popularity_power", -1.0),
        ("popularity_power", float("inf")),
        ("columns", "last"),
    ],
)
def test_settings_out_of_range_are_refused(
    small_neumf, small_split, tmp_path, key, value
):
    small_neumf.method.dsl_plus[key] = value
    console = rich.console.Console(quiet=True)
    task = base.Task(small_split, 0, tmp_path, console)
    with pytest.raises(UserError, match=rf"method\.dsl_plus\.{key}` must be"):
        base.train(task, small_neumf, dsl_plus.train)


@pytest.mark.parametrize(
    ("codes", "file", "largest"),
    [
        ("file", "tflite_int4", 7),
        ("file", "tflite_int8", 0),
        ("file", "", 0),
        ("none", "tflite_int4", 0),
        ("int4", "", 7),
    ],
)
def test_training_sees_the_codes_of_the_file(
    small_neumf, small_split, codes, file, largest
):
    small_neumf.method.dsl_plus.codes = codes
    small_neumf.budget.format = file
    small_neumf.model.gmf_dim = width = 64
    tables = dsl_plus.make_tables(small_neumf, small_split, 0)
    assert tables.rounding["largest_code"] == largest
    model = base.make_backbone(small_split, small_neumf, tables, 0)
    vectors = model.item_vectors().numpy()
    levels = {len(np.unique(row)) for row in np.abs(vectors[:, :width])}
    assert (max(levels) <= 8) == (largest == 7)


@pytest.mark.parametrize(
    ("columns", "step"), [(12, "table"), (16, "table"), (17, "row"), (64, "row")]
)
def test_narrow_rows_share_a_step(small_config, columns, step):
    small_config.model.embedding_dim = columns
    found = dsl_plus.rounding(small_config, "tflite_int4")
    assert found == {"largest_code": 7, "step": step}
    assert dsl_plus.rounding(small_config, "tflite_int8")["largest_code"] == 0


@pytest.mark.parametrize("file", ["lightgcn", "cdae", "multvae"])
def test_rows_that_are_read_otherwise_too_are_not_rounded(file):
    """What is rounded in the file and in validation would not be in training."""
    config = config_files.load(config_files.find(f"configs/{file}.py"), "demo")
    config.method.name = "dsl_plus"
    assert dsl_plus.rounding(config, "tflite_int4") == {}
    config.method.dsl_plus.codes = "int4"
    with pytest.raises(UserError, match=rf"must be file or none .*model.name={file}"):
        dsl_plus.rounding(config, "")


@pytest.mark.parametrize("columns", [16, 32])
def test_a_pretraining_rounds_as_what_starts_from_it(columns):
    """Tables of which one had a step and the other one for each row are not alike."""
    config = config_files.load(config_files.find("configs/convncf.py"), "demo")
    config.model.embedding_dim = columns
    first = convncf.pretraining(config)
    found = dsl_plus.rounding(config, "tflite_int4")
    assert found == dsl_plus.rounding(first, "tflite_int4")
    assert found["step"] == {16: "table", 32: "row"}[columns]


def test_other_codes_are_refused(small_neumf, small_split):
    small_neumf.method.dsl_plus.codes = "int3"
    with pytest.raises(UserError, match=r"dsl_plus\.codes` must be one of int4, none"):
        dsl_plus.make_tables(small_neumf, small_split, 0)
