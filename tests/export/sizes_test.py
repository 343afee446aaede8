import dataclasses

import numpy as np
import pytest
import scipy.sparse

from dsl_tf import files
from dsl_tf.export import tflite
from dsl_tf.export.device import DeviceModule
from dsl_tf.export.frozen import freeze
from dsl_tf.export.sizes import DeviceSizes
from dsl_tf.layers.rounding import Rounding


def _trained(shape, nnz, seed):
    """A table of any weights, its rows of different lengths."""
    rng = np.random.default_rng(seed)
    places = np.sort(rng.choice(shape[0] * shape[1], nnz, replace=False))
    values = rng.choice([-1.0, 1.0], nnz) * rng.uniform(0.5, 1, nnz)
    return scipy.sparse.csr_matrix(
        (values.astype(np.float32), (places // shape[1], places % shape[1])), shape
    )


@pytest.fixture(scope="module")
def frozen(dot_product):
    return freeze(dot_product.backbone, dot_product.split)


def _in_steps(table, step):
    """The table in whole multiples of a step, of which it has as many weights."""
    table = table.copy()
    table.data = (np.sign(table.data) * np.ceil(7 * np.abs(table.data))) * step
    return table


def _made(frozen, coding, density, folder, with_users=True):
    """Bytes of the tables and of the file of a trained model."""
    tables = {
        name: _trained(shape, round(density * shape[0] * shape[1]), seed)
        for seed, name in enumerate(("users", "items"))
        for shape in [getattr(frozen, name).shape]
    }
    if frozen.roundings:
        step = np.float32(frozen.roundings[0].step)
        tables = {name: _in_steps(table, step) for name, table in tables.items()}
    model = dataclasses.replace(frozen, **tables)
    module = DeviceModule(model, coding, 5, "small", with_users)
    path = tflite.convert(module, folder / "model.tflite")
    return module.table_bytes, files.size(path)


@pytest.mark.parametrize(
    ("coding", "density", "with_users"),
    [("int8", 0.5, True), ("float32", 1.0, True), ("int4", 0.1, False)],
)
def test_sizes_are_those_of_a_trained_model(
    frozen, tmp_path, coding, density, with_users
):
    sizes = DeviceSizes(frozen, 5, "small", with_users)
    nnz = round(density * sizes.positions)
    tables, file = _made(frozen, coding, density, tmp_path, with_users)
    assert sizes.tables(coding, nnz) == tables
    assert abs(sizes.file(coding, nnz) - file) <= 64


@pytest.mark.parametrize("density", [1.0, 0.1])
def test_rows_that_training_rounds_have_no_scale(frozen, tmp_path, density):
    step = np.float32(0.3)
    tables = {
        name: _in_steps(getattr(frozen, name).sign(), step)
        for name in ("users", "items")
    }
    rounded = dataclasses.replace(frozen, roundings=(Rounding(0.3, 7),), **tables)
    sizes = DeviceSizes(rounded, 5, "small", True)
    nnz = round(density * sizes.positions)
    found, file = _made(rounded, "int4", density, tmp_path)
    assert sizes.tables("int4", nnz) == found
    assert abs(sizes.file("int4", nnz) - file) <= 64
    with_scales = DeviceSizes(frozen, 5, "small", True).tables("int4", nnz)
    rows = frozen.num_users + frozen.num_items
    assert with_scales - found == 2 * rows - 2 * 4 * frozen.users.shape[1]


@pytest.mark.parametrize("share", [0.7, pytest.param(0.9, marks=pytest.mark.slow)])
def test_most_is_the_largest_that_fits(frozen, share):
    sizes = DeviceSizes(frozen, 5, "small", True)
    limit = int(share * sizes.file("int8", sizes.positions))
    nnz = sizes.most("int8", limit)
    assert sizes.file("int8", nnz) <= limit < sizes.file("int8", nnz + 4)


def test_nothing_fits(frozen):
    assert DeviceSizes(frozen, 5, "small", True).most("int8", 10_000) == -1
