import dataclasses

import numpy as np
import pytest
import rich.console

from dsl_tf.errors import UserError
from dsl_tf.methods import _training, _weights, base, dsl, mag_prune
from dsl_tf.types import empty_interactions


def test_masks_by_hand():
    table = np.array([[4, -3, 1, 0.5], [0.1, 0.2, -0.3, 0], [5, 6, 7, -8]], np.float32)
    # Six of twelve: by magnitude alone the second row would be empty.
    kept = [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]
    found = mag_prune.protecting({"t": table}, 0.5, 0)["t"]
    np.testing.assert_array_equal(found, np.array(kept, bool))
    kept = [[1, 0, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]]
    found = mag_prune.protecting({"t": table}, 0.5, 1)["t"]
    np.testing.assert_array_equal(found, np.array(kept, bool))
    kept = [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    found = mag_prune.protecting({"t": table}, 0.5, 2)["t"]
    np.testing.assert_array_equal(found, np.array(kept, bool))
    assert mag_prune.most_protected((3, 4), 0.5) == 2


@pytest.mark.parametrize("best", range(9))
def test_the_peak_is_found_with_few_questions(best):
    asked = []

    def quality(number):
        asked.append(number)
        return -abs(number - best)

    assert mag_prune.peak(quality, 8) == best
    assert len(asked) == len(set(asked)) <= 8


def test_it_is_the_trained_model_pruned(small_config, small_split, tmp_path):
    small_config.train.update(epochs=2, refit=True)
    small_config.sparsity.target = 0.75
    small_config.method.name = "mag_prune"
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    trained = base.train(task, small_config, mag_prune.train)
    names = [each.name for each in trained.passes]
    assert names == ["select", "choose_protected", "refit"]
    assert trained.passes[1].cost.seconds > 0
    dense = base.restore(
        task,
        small_config,
        lambda passes, config: passes.one("select", config, dsl.make_dense),
    )
    values = _weights.tables(dense.model)
    for name, table in _weights.tables(trained.model).items():
        mask = table != 0
        assert np.count_nonzero(mask) == round(0.25 * mask.size)
        np.testing.assert_array_equal(table[mask], values[name][mask])
    # What is reported is the pruned model's validation, not the dense one's.
    again = base.restore(task, small_config, mag_prune.train)
    assert again.validated == trained.validated
    best = dense.passes[0].state.best_score
    assert trained.validated["recall@20"] != best


@pytest.mark.parametrize("protected", [2, -1])
def test_every_row_keeps_what_is_protected(small_config, task, monkeypatch, protected):
    """Given, or chosen: by these qualities three are best."""
    small_config.sparsity.target = 0.75  # four of sixteen, on average
    small_config.method.mag_prune.protected = protected
    asked = []
    monkeypatch.setattr(
        mag_prune, "peak", lambda quality, most: asked.append(most) or 3
    )
    model = base.train(task, small_config, mag_prune.train).model
    for table in _weights.tables(model).values():
        rows = np.count_nonzero(table, axis=1)
        assert rows.min() == (3 if protected < 0 else 2) < rows.max()
    assert asked == ([4] if protected < 0 else [])


def test_protected_out_of_range_is_told_before_the_pass(
    small_config, small_split, tmp_path, monkeypatch
):
    monkeypatch.delattr(_training, "fit")
    small_config.method.mag_prune.protected = 99
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    with pytest.raises(UserError, match=r"from -1 to the mean .* Received: 99"):
        base.train(task, small_config, mag_prune.train)


def test_nothing_to_choose_on_is_told_before_the_pass(
    small_config, small_split, tmp_path, monkeypatch
):
    monkeypatch.delattr(_training, "fit")
    split = dataclasses.replace(small_split, validation=empty_interactions())
    task = base.Task(split, 0, tmp_path, rich.console.Console(quiet=True))
    with pytest.raises(UserError, match="chooses on validation"):
        base.train(task, small_config, mag_prune.train)
