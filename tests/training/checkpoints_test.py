import errno
import json

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.training import checkpoints


@pytest.fixture
def variable():
    return tf.Variable([1.0, 2.0])


@pytest.fixture
def folder(tmp_path, variable):
    return checkpoints.CheckpointFolder(tmp_path, {"tensor": variable})


def test_the_newest_comes_back_and_is_the_only_one(tmp_path, folder, variable):
    assert folder.restore() is None
    for step in (9, 10, 100):
        variable.assign([step, step])
        folder.save(step, {"step": step, "loss": 0.1 + 0.2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000100"]
    variable.assign([0.0, 0.0])
    assert folder.restore() == {"step": 100, "loss": 0.1 + 0.2}
    np.testing.assert_array_equal(variable, [100.0, 100.0])
    assert checkpoints.read_state(tmp_path)["step"] == 100


def test_a_state_of_before_is_read_by_its_new_name(tmp_path, folder):
    folder.save(3, {"step": 3, "exploration": {"records": []}})
    found = {"step": 3, "companion": {"records": []}}
    assert checkpoints.read_state(tmp_path) == found


def test_a_full_disk_leaves_the_last_good_one(tmp_path, folder, variable, monkeypatch):
    folder.save(7, {"step": 7})

    def write(path):
        (tmp_path / ".step-0000000008.partial" / "tensors.data").write_text("half")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    variable.assign([0.0, 0.0])
    with monkeypatch.context() as patch:
        patch.setattr(folder._checkpoint, "write", write)
        with pytest.raises(tf.errors.OpError):
            folder.save(8, {"step": 8})
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000007"]
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "full")
        patch.setattr(json, "dumps", lambda _: (_ for _ in ()).throw(full))
        with pytest.raises(OSError, match="full"):
            folder.save(8, {"step": 8})
    assert folder.restore() == {"step": 7}
    np.testing.assert_array_equal(variable, [1.0, 2.0])


def test_what_a_kill_leaves_behind_is_no_checkpoint(tmp_path, folder):
    folder.save(7, {"step": 7})
    (tmp_path / ".step-0000000008.partial").mkdir()
    (tmp_path / ".step-0000000008.partial" / "state.json").write_text("{")
    assert folder.restore() == {"step": 7}
    folder.save(8, {"step": 8})
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000008"]


def test_best_weights(tmp_path, variable):
    best = checkpoints.BestWeights(tmp_path, [variable])
    best.save(1)
    variable.assign([3.0, 4.0])
    best.save(2)
    variable.assign([5.0, 6.0])
    best.save(2)  # an epoch done again after a kill
    best.restore(1)  # a checkpoint may still refer to it
    np.testing.assert_array_equal(variable, [1.0, 2.0])
    best.prune(2)
    assert [path.name for path in tmp_path.iterdir()] == ["best-00002"]
    best.restore(2)
    np.testing.assert_array_equal(variable, [5.0, 6.0])
