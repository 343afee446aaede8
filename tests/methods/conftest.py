import dataclasses

import numpy as np
import pytest
import rich.console
import tensorflow as tf

from dsl_tf.backbones.base import Backbone
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.methods import _weights, base
from dsl_tf.training import observers


@pytest.fixture
def task(small_split, tmp_path):
    return base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A model at one moment.

    Attributes:
      tables: float32 [rows, width] by name, zero where there is no weight.
      masks: bool [rows, width] by name, of the sparse tables.
      network: what is not in tables.
    """

    tables: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    network: list[np.ndarray]

    @classmethod
    def of(cls, model):
        masks = {
            layer.name: layer.embeddings.mask()
            for layer in model._flatten_layers()
            if isinstance(layer, SparseEmbedding)
        }
        return cls(_weights.tables(model), masks, _weights.network(model))


@dataclasses.dataclass(frozen=True)
class Taken:
    """What a method did.

    Attributes:
      model: that it handed back.
      passes: that it took.
      began: what the model of each pass began with, by the names of the passes.
      ended: and what it ended with, at its best epoch.
      validated: what the model of the last pass was at each validation.
    """

    model: base.Backbone
    passes: list[base.Pass]
    began: dict[str, Snapshot]
    ended: dict[str, Snapshot]
    validated: list[Snapshot]


@pytest.fixture
def take(small_split, tmp_path):
    """Takes the passes of a method, and looks at the models on the way."""
    calls = 0

    def run(method, config, seed=0, begin=None):
        nonlocal calls
        calls += 1
        models, began, ended, validated = [], {}, {}, []

        class Watching(base.Training):
            def one(self, name, config, make_tables, make_companion=None, start=None):
                def watched(model):
                    for each in (start, begin):
                        if each is not None:
                            each(model)
                    models.append(model)
                    began[name] = Snapshot.of(model)

                model = super().one(name, config, make_tables, make_companion, watched)
                ended[name] = Snapshot.of(model)
                return model

        task = base.Task(
            small_split,
            seed,
            tmp_path / str(calls),
            rich.console.Console(quiet=True),
            watch=lambda metrics: validated.append(Snapshot.of(models[-1])),
        )
        passes = Watching(task, config, small_split)
        model = method(passes, config)
        return Taken(model, passes.taken, began, ended, validated)

    return run


@pytest.fixture
def check_largest():
    """Checks that masks keep the largest weights of tables, exactly so many of each."""

    def check(masks, tables, sparsity, among=None):
        assert masks.keys() == tables.keys()
        for name, mask in masks.items():
            allowed = np.ones_like(mask) if among is None else among[name]
            assert not np.any(mask & ~allowed)
            assert np.count_nonzero(mask) == round(mask.size * (1 - sparsity))
            magnitude = np.abs(tables[name])
            assert magnitude[mask].min() >= magnitude[allowed & ~mask].max()

    return check


@dataclasses.dataclass(frozen=True)
class Exchange:
    """One exchange of weights of one table.

    Attributes:
      before: float32 [rows, width], zero where there was no weight.
      after: as `before`.
      pruned: bool [rows, width], what left.
      grown: bool [rows, width], what entered.
    """

    before: np.ndarray
    after: np.ndarray
    pruned: np.ndarray
    grown: np.ndarray


#: Of the weights, in `exchange`.
_EXCHANGED = 0.02


@dataclasses.dataclass(frozen=True, eq=False)
class Pull:
    """A `LossTerm` that pulls at a column, and in one step at another."""

    model: Backbone
    column: int
    column_at_last: int
    last: int
    held_bytes: int = 0

    def __call__(self, inputs):
        last = self.model.optimizer.iterations == self.last
        users, items = self.model.batch_vectors(inputs)
        column = tf.where(last, self.column_at_last, self.column)
        at = tf.one_hot(column, users.shape[1])
        return 1e3 * (tf.reduce_sum(users * at) + tf.reduce_sum(items * at))

    def macs(self, layers, size):
        return {}


@pytest.fixture
def exchange(take, small_config, small_split):
    """Takes a pass of a method with one exchange, of a fiftieth of the weights.

    The loss pulls hard at one column of the rows that a batch has. The learning rate
    is next to none: the exchange finds the initial weights.
    """
    small_config.train.learning_rate = 1e-9
    interval = len(small_split.train) // small_config.train.batch_size  # an epoch
    # Halfway a cosine has fallen to a half.
    small_config.sparsity.update(
        initial_update_ratio=2 * _EXCHANGED, update_interval=interval
    )
    small_config.method.rigl.update(
        update_ratio=2 * _EXCHANGED, update_interval=interval, end_fraction=1.0
    )
    small_config.method["set"].update_ratio = _EXCHANGED

    def run(method, column, column_at_last):
        """In the last step before the exchange another column is pulled at."""

        def begin(model):
            model.loss_terms = (Pull(model, column, column_at_last, interval - 1),)

        taken = take(method.train, small_config, begin=begin)
        began, ended = taken.began["select"], taken.ended["select"]
        (name,) = began.masks
        before, after = began.masks[name], ended.masks[name]
        found = Exchange(
            began.tables[name],
            ended.tables[name],
            pruned=before & ~after,
            grown=after & ~before,
        )
        _check_exchange(found)
        return found

    return run


def _check_exchange(found):
    """What all methods of the engine have in common."""
    active = np.abs(found.before[found.before != 0])
    asked = round(_EXCHANGED * active.size)
    least = np.sort(active)[:asked]
    leaving = np.abs(found.before[found.pruned])
    # Those of the least that are grown again stay.
    assert 0.9 * asked <= leaving.size <= asked
    assert np.isin(leaving, least).all()
    assert np.count_nonzero(found.grown) == leaving.size
    assert np.abs(found.after[found.grown]).max() < 1e-6
    kept = (found.before != 0) & ~found.pruned
    np.testing.assert_allclose(found.after[kept], found.before[kept], atol=1e-6)


class _Killed(BaseException):
    """Stands for SIGKILL: nothing is written any more."""


@pytest.fixture
def interrupted(monkeypatch):
    """Trains, killed once after some steps and a checkpoint, and goes on."""
    original = observers.Checkpoints.on_train_batch_end

    def run(task, config, method, step):
        def on_train_batch_end(self, batch, logs=None):
            here = int(self.model.optimizer.iterations) == step
            self._seconds = 0.0 if here else 1e9
            original(self, batch, logs)
            if here:
                raise _Killed

        with monkeypatch.context() as patch:
            patch.setattr(
                observers.Checkpoints, "on_train_batch_end", on_train_batch_end
            )
            with pytest.raises(_Killed):
                base.train(task, config, method)
        return base.train(task, config, method)

    return run
