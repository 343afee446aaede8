"""What a budget in bytes picks, and that the file keeps to it."""

import json

import pytest

from dsl_tf import config_files, experiment, plugins
from dsl_tf.errors import UserError
from dsl_tf.methods import base
from dsl_tf.methods._narrow import widths

#: Of a file. The models have 800 rows of 512 weights or more; beside their tables they
#: take some 30,000 bytes if these are dense, and 15,000 more if they are packed.
BYTES = 250_000
WIDTHS = {"mf": "embedding_dim", "lightgcn": "embedding_dim", "neumf": "gmf_dim"}


@pytest.fixture
def config(request, small_config, small_csv):
    model, method = request.param
    config = config_files.load(config_files.find(f"{model}.py"), "own")
    config.train.update(small_config.train)
    config.train.epochs = 1
    config.sparsity.update_interval = small_config.sparsity.update_interval
    config.sparsity.initial_update_ratio = 0.1  # three of four weights are there
    config.growth.horizon = "auto"
    config.method.name = method
    config.data.path = str(small_csv)
    if model in WIDTHS:
        config.model[WIDTHS[model]] = 512
    config.export.formats = ("tflite_fp16", "tflite_int8")
    config.budget.bytes = BYTES
    return config


def _for(*pairs):
    return pytest.mark.parametrize("config", pairs, indirect=True)


def _settled(config, split, folder):
    method = plugins.find("dsl_tf.methods", config.method.name, "method")
    return base.settled(folder, config, method, split, 0)


def _slow(*pair):
    return pytest.param(pair, marks=pytest.mark.slow)


@_for(
    ("mf", "dsl"),
    _slow("neumf", "dsl"),
    _slow("lightgcn", "dsl"),
    _slow("mf", "sparserec"),
    _slow("neumf", "mag_prune"),
    _slow("lightgcn", "small_dim"),
    _slow("neumf", "small_dim"),
    _slow("mf", "quantised"),
)
def test_the_file_keeps_to_it(config, tmp_path):
    config.export.formats = ("tflite_int8",)
    if config.method.name == "quantised":
        config.budget.bytes += 30_000  # a little more than int4 takes
    folder = tmp_path / "run"
    experiment.train(config.lock(), folder)
    asked = config.budget.bytes
    budget = json.loads((folder / "cost.json").read_text())["budget"]
    assert budget["asked"] == asked
    assert budget["got"] == (folder / budget["file"]).stat().st_size
    # A column more of a dense table, or four bits a weight, are many bytes.
    least = 0.95 if config.method.name in ("dsl", "sparserec", "mag_prune") else 0.75
    assert least * asked < budget["got"] <= asked
    before = (folder / budget["file"]).read_bytes()
    (folder / budget["file"]).unlink()
    experiment.export(folder, None, {})
    assert (folder / budget["file"]).read_bytes() == before


@_for(("mf", "dsl_plus"), _slow("neumf", "dsl_plus"))
def test_narrow_rows_share_a_step_and_have_more_columns(config, tmp_path, small_split):
    """In the bytes of a scale a row there are columns; the file is what was trained."""
    config.budget.bytes = {"mf": 36_000, "neumf": 42_000}[config.model.name]
    config.export.formats = ("tflite_int4",)
    config.export.evaluate = True
    settled = _settled(config, small_split, tmp_path / "settled")
    assert 4 < sum(settled.model[key] for key in widths(settled)) <= 16
    experiment.train(config.lock(), tmp_path / "run")
    cost = json.loads((tmp_path / "run" / "cost.json").read_text())
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0.8 * config.budget.bytes < cost["budget"]["got"] <= config.budget.bytes
    of_file = cost["files_metrics"]["model_int4.tflite"]["recall@20"]
    assert of_file == pytest.approx(metrics["test"]["recall@20"], abs=1e-9)


@_for(("mf", "dsl"))
def test_precision_goes_first(config, small_split, tmp_path):
    def found(**changes):
        config.budget.update(changes)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        settled = _settled(config, small_split, folder)
        kept = settled.model.embedding_dim * (1 - settled.sparsity.target)
        return settled.budget.format, kept

    assert found(bytes=1_000_000) == ("tflite_fp16", 512)
    assert found(bytes=500_000) == ("tflite_int8", 512)
    name, kept = found(bytes=350_000)
    assert name == "tflite_int8"
    assert 256 < kept < 512
    name, fewer = found(bytes=350_000, format="tflite_fp16")
    assert name == "tflite_fp16"
    assert kept / 3 < fewer < kept / 1.5


@_for(("mf", "dsl"))
def test_what_was_picked_is_kept(config, small_split, tmp_path):
    first = _settled(config, small_split, tmp_path)
    again = _settled(config, None, tmp_path)  # nothing is found out anew
    assert again.to_json() == first.to_json()
    assert config.sparsity.target == 0.5  # the run's own config is as it was


@_for(("mf", "dsl"))
def test_rows_are_narrower_where_few_weights_are_left(config, small_split, tmp_path):
    config.budget.bytes = 140_000
    config.export.formats = ("tflite_int8",)
    settled = _settled(config, small_split, tmp_path)
    # Half of 256 columns are too many bytes; all of these fit, and no column more.
    assert 128 < settled.model.embedding_dim < 256
    assert settled.sparsity.target == 0.0
    config.method.name = "small_dim"
    other = _settled(config, small_split, tmp_path / "small_dim")
    columns = 512 * (1 - other.sparsity.target)
    assert settled.model.embedding_dim == pytest.approx(columns)


@_for(("mf", "dsl"), _slow("mf", "small_dim"), _slow("mf", "quantised"))
def test_too_small_names_the_smallest(config, small_split, tmp_path):
    config.model.embedding_dim = 16
    config.budget.bytes = 20_000
    config.export.formats = ("tflite_int8",)
    with pytest.raises(UserError, match="must be at least") as error:
        _settled(config, small_split, tmp_path)
    least = int(str(error.value).split("at least ")[1].split(" ")[0].replace(",", ""))
    config.budget.bytes = least - 1
    with pytest.raises(UserError, match=f"must be at least {least:,}"):
        _settled(config, small_split, tmp_path)
    config.budget.bytes = least
    _settled(config, small_split, tmp_path)


@_for(("mf", "dsl"))
def test_wider_and_sparser_can_be_asked_for(config, small_split, tmp_path):
    config.budget.bytes = 140_000
    config.budget.least_density = 1 / 16
    settled = _settled(config, small_split, tmp_path)
    assert settled.model.embedding_dim == 512
    assert 1 / 2 < settled.sparsity.target < 15 / 16
    config.budget.least_density = 0.0
    with pytest.raises(UserError, match=r"`budget.least_density` must be above 0"):
        _settled(config, small_split, tmp_path / "other")


@_for(("mf", "dense"), ("multvae", "dsl"))
def test_what_cannot_be_held_to_it_is_refused(config, small_split, tmp_path):
    rule = {
        "dense": "needs a method that can be held to a number of bytes: .*small-dim",
        "dsl": "must be 0 where user vectors are made of histories",
    }
    with pytest.raises(UserError, match=rule[config.method.name]):
        _settled(config, small_split, tmp_path)


@_for(("mf", "dsl"))
def test_formats(config, small_split, tmp_path):
    config.budget.format = "tflite_int4"
    with pytest.raises(
        UserError, match=r"the \.tflite files of `export\.formats`, tflite_fp16"
    ):
        _settled(config, small_split, tmp_path)
    config.budget.format = ""
    config.export.formats = ("saved_model",)
    with pytest.raises(UserError, match=r"needs a \.tflite file among"):
        _settled(config, small_split, tmp_path)


@_for(("mf", "quantised"))
def test_a_format_is_the_bits_of_what_is_quantised(config, small_split, tmp_path):
    config.budget.bytes = 10_000_000
    assert _settled(config, small_split, tmp_path / "a").method.quantised.bits == 8
    config.budget.format = "tflite_int4"
    settled = _settled(config, small_split, tmp_path / "b")
    assert settled.method.quantised.bits == 4
    assert settled.budget.format in settled.export.formats
    config.budget.format = "tflite_fp16"
    with pytest.raises(UserError, match=r"budget\.format` must be one of tflite_int8,"):
        _settled(config, small_split, tmp_path / "c")


@_for(("mf", "dsl"))
def test_a_misspelt_layout_is_refused(config, small_split, tmp_path):
    """Before a file is made, which a plan of a study and a search do not do."""
    config.export.layout = "smal"
    with pytest.raises(UserError, match=r"export\.layout` must be one of small, fast"):
        _settled(config, small_split, tmp_path)


@_for(("lightgcn", "dsl"), _slow("lightgcn", "quantised"))
def test_propagated_rows_are_narrower_not_sparser(config, small_split, tmp_path):
    """Weights were left out of layer 0, which is not in the file."""
    config.budget.bytes = 150_000
    settled = _settled(config, small_split, tmp_path / "a")
    assert settled.sparsity.target == (0.0 if config.method.name == "dsl" else 0.5)
    assert settled.method.quantised.bits == 8
    of_file = {"dsl": "tflite_int8", "quantised": "tflite_int4"}[config.method.name]
    assert settled.budget.format == of_file
    # As narrow as of the method that narrows all models.
    config.method.name = "small_dim"
    config.export.formats = (of_file,)
    other = _settled(config, small_split, tmp_path / "b")
    expected = round(512 * (1 - other.sparsity.target))
    assert settled.model.embedding_dim == expected < 300
