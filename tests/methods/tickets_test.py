import numpy as np
import pytest
import rich.console

from dsl_tf.errors import UserError
from dsl_tf.methods import _tickets, _weights, base


@pytest.fixture
def take(small_config, small_split, tmp_path):
    """Takes the passes of a function; hands out what the models began and ended as."""
    small_config.train.epochs = 1
    small_config.sparsity.target = 0.5
    seen = {}

    class Watching(base.Training):
        def one(self, name, config, make_tables, make_companion=None, start=None):
            def watched(model):
                if start is not None:
                    start(model)
                seen[name] = [_state(model)]

            model = super().one(name, config, make_tables, make_companion, watched)
            seen[name].append(_state(model))
            return model

    def run(method):
        console = rich.console.Console(quiet=True)
        passes = Watching(
            base.Task(small_split, 0, tmp_path, console), small_config, small_split
        )
        return method(passes, small_config), seen

    return run


def _state(model):
    return _weights.tables(model), _weights.network(model)


def test_sparsities_of_the_rounds():
    assert _tickets.sparsities(0.8, 1.0) == [0.8]
    found = _tickets.sparsities(0.5, 0.1)
    np.testing.assert_allclose(found[:-1], 1 - 0.9 ** np.arange(1, 7))
    assert found[-1] == 0.5
    assert len(_tickets.sparsities(0.8, 0.1)) == 16
    # Whole rounds: no one more for a rounding error.
    assert _tickets.sparsities(0.75, 0.5) == [0.5, 0.75]
    assert _tickets.sparsities(0.0, 0.1) == [0.0]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_share_out_of_range(share):
    with pytest.raises(UserError, match=r"must be in \(0, 1\]"):
        _tickets.sparsities(0.5, share)


@pytest.mark.parametrize("rewind", ["init", "random", "none"])
def test_what_rounds_start_from(take, rewind):
    def method(passes, config):
        return _tickets.train(passes, config, [0.25, 0.5], rewind)

    model, seen = take(method)
    assert list(seen) == ["dense", "round_1", "select"]
    before = seen["dense"]
    kept = None
    for name, target in (("round_1", 0.25), ("select", 0.5)):
        began, _ = seen[name]
        for table, found in began[0].items():
            # The largest of what was trained last, and exactly so many of them.
            trained = np.abs(before[1][0][table])
            mask = found != 0
            size = found.size
            assert np.count_nonzero(mask) == round(size * (1 - target))
            assert trained[mask].min() >= trained[~mask].max()
            if kept is not None:
                assert not np.any(mask & ~kept[table])
            origin = {"init": seen["dense"][0], "none": before[1]}.get(rewind)
            if origin is None:
                assert not np.any(mask & (found == seen["dense"][0][0][table]))
                assert not np.any(mask & (found == before[0][0][table]))
            else:
                np.testing.assert_array_equal(found[mask], origin[0][table][mask])
                for ours, theirs in zip(began[1], origin[1], strict=True):
                    np.testing.assert_array_equal(ours, theirs)
        before = seen[name]
        kept = {table: found != 0 for table, found in began[0].items()}
    for weight in model.sparse_weights():
        assert weight.nnz == np.count_nonzero(weight.mask())
    for table, found in seen["select"][1][0].items():
        assert not np.any(found[~kept[table]])


def test_an_unknown_rewind_is_told_before_training(take):
    with pytest.raises(UserError, match="must be one of init, random, none"):
        take(lambda passes, config: _tickets.train(passes, config, [0.5], "back"))
