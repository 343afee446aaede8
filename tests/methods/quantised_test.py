import numpy as np
import pytest
import rich.console

from dsl_tf.errors import UserError
from dsl_tf.methods import _weights, base, dense, quantised


@pytest.mark.parametrize(("limit", "error"), [(127, 0.004), (7, 0.072)])
def test_a_row_is_off_by_half_a_step_at_most(rng, limit, error):
    table = rng.normal(size=(20, 6)).astype(np.float32)
    table[3] = 0
    found = quantised.rounded(table, limit)
    largest = np.abs(table).max(axis=1, keepdims=True)
    assert np.all(np.abs(found - table) <= error * largest)
    assert not found[3].any()
    for row in found:
        assert len(np.unique(row)) <= 2 * limit + 1


@pytest.mark.parametrize("bits", [8, 4])
def test_what_is_tested_is_quantised(small_config, small_split, tmp_path, bits):
    small_config.train.epochs = 1
    small_config.method.quantised.bits = bits
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    trained = base.train(task, small_config, quantised.train)
    before = base.restore(task, small_config, dense.train)
    limit = {8: 127, 4: 7}[bits]
    for name, table in _weights.tables(before.model).items():
        found = _weights.tables(trained.model)[name]
        np.testing.assert_array_equal(found, quantised.rounded(table, limit))
    assert trained.validated is not None
    again = base.restore(task, small_config, quantised.train)
    assert again.validated == trained.validated


def test_other_bits_are_refused(small_config):
    small_config.method.quantised.bits = 3
    with pytest.raises(UserError, match="must be one of 8, 4"):
        quantised.train(None, small_config)
