import numpy as np
import pytest
import rich.console
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from dsl_tf.accounting import macs
from dsl_tf.errors import UserError
from dsl_tf.layers.pruned import PrunedEmbedding
from dsl_tf.methods import base, gradual_magnitude

SCHEDULE = {
    "initial_sparsity": 0.0,
    "final_sparsity": 0.75,
    "begin_step": 4,
    "end_step": 24,
    "power": 3,
    "frequency": 4,
}


def _fit(layer, callbacks, steps=30):
    """Masks after each step of training an embedding to a fixed table."""
    rng = np.random.default_rng(0)
    ids = np.tile(np.arange(10), (steps, 1)).reshape(-1)
    target = rng.normal(size=(10, 8)).astype(np.float32)[ids]
    model = keras.Sequential([keras.layers.InputLayer((), dtype="int32"), layer])
    model.compile(keras.optimizers.SGD(0.02), "mse")
    zeros = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            mask = next(v for v in model.weights if "mask" in v.name)
            zeros.append(mask.numpy() == 0)

    callbacks = [*callbacks, Watch()]
    data = {"batch_size": 10, "shuffle": False, "verbose": 0}
    model.fit(ids, target, callbacks=callbacks, **data)
    return np.array(zeros)


def test_it_prunes_as_the_toolkit_does_on_an_embedding():
    initial = keras.initializers.RandomNormal(stddev=0.1, seed=3)
    schedule = tfmot.sparsity.keras.PolynomialDecay(**SCHEDULE)
    ours = _fit(
        PrunedEmbedding(10, 8, initial, name="t"),
        [gradual_magnitude.GradualMagnitude(schedule)],
    )
    theirs = _fit(
        tfmot.sparsity.keras.prune_low_magnitude(
            keras.layers.Embedding(10, 8, initial, name="t"),
            tfmot.sparsity.keras.PolynomialDecay(**SCHEDULE),
        ),
        [tfmot.sparsity.keras.UpdatePruningStep()],
    )
    counts = ours.sum(axis=(1, 2))
    # Zhu and Gupta's formula, in steps done.
    for step in (4, 8, 12, 16, 20, 24):
        progress = (step - 4) / 20
        expected = round(80 * 0.75 * (1 - (1 - progress) ** 3))
        assert abs(int(counts[step - 1]) - expected) <= 1
    assert counts[-1] == 60
    # The toolkit prunes before the update of the step, not after it: at this
    # learning rate that makes no difference.
    np.testing.assert_array_equal(ours, theirs)


def test_only_the_sparse_epochs_are_selected(small_config, small_split, tmp_path):
    small_config.train.update(epochs=4, refit=True)
    small_config.sparsity.target = 0.8
    small_config.method.gradual_magnitude.update(
        frequency=2, begin_fraction=0.1, end_fraction=0.6
    )
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    trained = base.train(task, small_config, gradual_magnitude.train)
    assert trained.selection.best_epoch >= 3
    history = trained.selection.history
    nonzeros = [row["nnz"] for row in history]
    assert nonzeros == sorted(nonzeros, reverse=True)
    assert nonzeros[0] > nonzeros[-1]
    for weight in trained.model.sparse_weights():
        size = weight.shape[0] * weight.shape[1]
        assert weight.nnz == np.count_nonzero(weight.mask()) == round(0.2 * size)
    assert nonzeros[-1] == sum(w.nnz for w in trained.model.sparse_weights())
    # What was dense before the last pruning is counted as such.
    taken = trained.passes[0].cost
    last = macs.training(macs.of_layers(trained.model), taken.steps, taken.size)
    tables = gradual_magnitude.make_tables(small_config, small_split, 0)
    whole, _ = base.make_model(small_split, small_config, tables, 0)
    first = macs.training(macs.of_layers(whole), taken.steps, taken.size)
    mine, sparse, dense = (
        macs.summed(layers[name] for name in first).forward
        for layers in (taken.layers, last, first)
    )
    assert 1.1 * sparse < mine < dense
    # Nothing was saved in training.
    dense = trained.passes[0].cost.state_bytes
    packed = sum(v.numpy().nbytes for v in trained.model.weights)
    assert dense > 5 * packed


def test_a_schedule_without_a_pruning_step_is_refused(small_config):
    small_config.method.gradual_magnitude.frequency = 500
    with pytest.raises(UserError, match=r"from 1 to the steps .* 400\. Received: 500"):
        gradual_magnitude.companion(small_config, 1000, 0)
