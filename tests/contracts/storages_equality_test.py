"""All storages are one engine: the same training gives the same bits.

That holds for the optimisers in `EXACT`. Others differ in the last bit, where
TensorFlow computes an element differently by its place in memory or sums over the
table.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dsl_tf import storage
from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.layers.dense import SparseDense
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.optimizers import LazyAdam
from dsl_tf.storage import base, slots

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.1),
    "lazy_adam": lambda: LazyAdam(0.1),
    "amsgrad": lambda: LazyAdam(0.1, amsgrad=True),
    "clipnorm": lambda: keras.optimizers.Adam(0.1, clipnorm=0.1),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "ftrl": lambda: keras.optimizers.Ftrl(0.1, l2_regularization_strength=0.1),
    "legacy_adam": lambda: keras.optimizers.legacy.Adam(0.1),
}


class Twice(keras.Model):
    """Looks one table up twice in a step, with rows that both look up."""

    def __init__(self, table):
        super().__init__()
        self.table = table

    def call(self, inputs):
        first, second = self.table(inputs), self.table(inputs[:, ::2] // 2)
        return tf.reduce_sum(first[:, :1] * second, axis=[1, 2])[:, None]


#: Those whose arithmetic is the same bit for bit whatever the layout of a table.
EXACT = ["adam", "lazy_adam", "amsgrad", "momentum", "legacy_adam"]


def state_of(model, weight):
    """Mask, values and slots at the active positions, as bits."""
    variables = [weight.values]
    variables += [slot.variable for slot in slots.find(model.optimizer, weight.values)]
    return [
        weight.positions(),
        *(weight.reader(each)(0, weight.nnz).view(np.uint8) for each in variables),
    ]


def same(states):
    first, *others = states
    for other in others:
        assert len(first) == len(other)
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)


def make(name, rows, width, sparsity, seed, optimizer, dtype=None, run_eagerly=True):
    table = SparseEmbedding(
        rows, width, sparsity, keras.initializers.RandomNormal(seed=seed),
        storage=name, seed=seed, name="table", dtype=dtype,
    )  # fmt: skip
    model = Twice(table)
    model.compile(OPTIMIZERS[optimizer](), "mse", run_eagerly=run_eagerly)
    return table, model


def fit(model, rows, *callbacks, seed=0):
    """Eight steps."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, rows, (8 * 5, 3))
    y = rng.normal(size=(len(x), 1))
    model.fit(x, y, batch_size=5, shuffle=False, verbose=0, callbacks=list(callbacks))


def train(name, rows, width, sparsity, seed, optimizer, **settings):
    """Eight steps with four explorations; the state after each step."""
    table, model = make(name, rows, width, sparsity, seed, optimizer, **settings)
    states = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_: states.append(state_of(model, table.embeddings))
    )
    dynamic = DynamicSparseTraining(0.7, 2, recorder_rows=max(1, rows // 2))
    fit(model, rows, dynamic, watch, seed=seed)
    moved = sum(record.done for record in dynamic.records)
    return list(itertools.chain(*states)), moved


@given(
    st.integers(1, 12),
    st.integers(1, 19),
    st.floats(0, 0.98),
    st.integers(0, 5),
    st.sampled_from(EXACT),
)
@example(9, 8, 0.0, 0, "adam")  # every row is full
@example(12, 3, 0.9, 1, "lazy_adam")  # rows are empty
@example(5, 300, 0.8, 2, "adam")  # columns beyond a byte
@example(6, 33, 0.5, 3, "legacy_adam")
@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_training_gives_the_same_bits(rows, width, sparsity, seed, optimizer):
    results = [
        train(name, rows, width, sparsity, seed, optimizer) for name in storage.names()
    ]
    same([states for states, _ in results])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("optimizer", ["adam", "lazy_adam", "momentum"])
def test_the_same_bits_in_a_graph(optimizer):
    """As `fit` runs by default, and wide enough for vector instructions."""
    results = [
        train(name, 90, 33, 0.6, 0, optimizer, run_eagerly=False)
        for name in storage.names()
    ]
    same([states for states, _ in results])
    assert results[0][1] > 100


@pytest.mark.parametrize("optimizer", ["adagrad", "ftrl", "clipnorm"])
def test_others_agree_but_for_rounding_in_a_graph(optimizer):
    """They divide by roots, or sum over the table, in another order."""
    weights = []
    for name in storage.names():
        table, model = make(name, 90, 33, 0.6, 0, optimizer, run_eagerly=False)
        fit(model, 90)
        weights.append(table.embeddings.read().numpy())
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_do_move_in_these_runs(optimizer):
    """What the test above compares has explorations that exchange something."""
    states, moved = train("packed", 10, 9, 0.6, 0, optimizer)
    assert moved > 5
    assert not np.array_equal(states[0], states[-len(states) // 8])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_bfloat16"])
def test_narrow_values(dtype):
    results = [
        train(name, 10, 9, 0.6, 0, "momentum", dtype=dtype)[0]
        for name in storage.names()
    ]
    same(results)
    wide = "float32" if dtype.startswith("mixed") else dtype
    table = SparseEmbedding(3, 2, 0.5, dtype=dtype)
    table(tf.constant([0]))
    assert table.embeddings.values.dtype == wide


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("elements", [7, 40, 10_000])
def test_products_by_blocks(monkeypatch, rng, transpose, elements):
    """Forward, gradient and record, whatever the blocks, against plain matmul."""
    monkeypatch.setattr(base, "BLOCK_ELEMENTS", elements)
    inputs = rng.normal(size=(4, 7 if transpose else 11)).astype(np.float32)
    pulls = rng.normal(size=(4, 11 if transpose else 7)).astype(np.float32)
    found = []
    for name in storage.names():
        layer = SparseDense(7, 0.5, use_bias=False, storage=name, seed=1, name="dense")
        layer.build((None, 11))
        weight = layer.kernel
        values = np.linspace(-1, 1, weight.nnz, dtype=np.float32)
        weight.assign(
            weight.mask_blocks(), [(slots.Slot(weight.values, 0.0), [values])]
        )
        layer.record_gradients(11)
        layer.record(True)
        layer.watch(True)
        table, mask = weight.read().numpy(), weight.mask()

        @tf.function
        def step(inputs, pulls, weight=weight):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = weight.matmul(inputs, transpose)
                loss = tf.reduce_sum(outputs * pulls)
            return outputs, *tape.gradient(loss, [inputs, weight.values])

        outputs, to_inputs, to_values = step(tf.constant(inputs), tf.constant(pulls))
        matrix = table.T if transpose else table
        np.testing.assert_allclose(outputs, inputs @ matrix, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(to_inputs, pulls @ matrix.T, rtol=1e-5, atol=1e-6)
        full = inputs.T @ pulls
        full = full.T if transpose else full
        to_values = tf.convert_to_tensor(to_values).numpy()
        active = to_values[mask] if to_values.ndim == 2 else to_values
        np.testing.assert_allclose(active, full[mask], rtol=1e-5, atol=1e-6)
        rows, sums = weight.recorder.recorded()
        assert rows.numpy().tolist() == list(range(11))
        np.testing.assert_allclose(sums, full, rtol=1e-5, atol=1e-6)
        found.append([outputs.numpy(), to_inputs.numpy(), active, sums.numpy()])
    same(found)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_product_inside_a_model(policy, rng):
    """`fit` through blocks: the loss falls, and both storages take the same path."""
    x = rng.normal(size=(64, 40)).astype(np.float32)
    y = x @ rng.normal(size=(40, 3)).astype(np.float32)
    losses = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "BLOCK_ELEMENTS", 50)
        for name in storage.names():
            kernel = keras.initializers.GlorotUniform(seed=1)
            layer = SparseDense(
                3, 0.5, kernel_initializer=kernel, storage=name, name="dense",
                dtype=policy,
            )  # fmt: skip
            model = keras.Sequential([layer])
            model.compile(keras.optimizers.Adam(0.05), "mse")
            dynamic = DynamicSparseTraining(0.3, 4)
            history = model.fit(
                x, y, batch_size=16, epochs=6, shuffle=False, verbose=0,
                callbacks=[dynamic],
            )  # fmt: skip
            losses.append(history.history["loss"])
            assert sum(record.done for record in dynamic.records) > 0
    assert losses[0] == losses[1]
    assert losses[0][-1] < 0.7 * losses[0][0]
