import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.storage import slots
from dsl_tf.storage.packed import PackedWeight
from dsl_tf.types import Exchange


def make(mask, values=None, layer=None):
    mask = np.array(mask, bool)
    values = np.arange(1.0, 1 + mask.size) if values is None else values
    return PackedWeight(
        layer or keras.layers.Layer(),
        "table",
        mask.shape,
        lambda shape: [mask],
        int(mask.sum()),
        keras.initializers.Constant(np.reshape(values, mask.shape)),
    )


def test_its_variables_hand_worked():
    """Ten columns: two bytes a row, column 0 the lowest bit of the first."""
    layer = keras.layers.Layer()
    make([[1, 0, 0, 0, 0, 0, 0, 1, 0, 1], [0] * 10, [0, 1] * 5], layer=layer)
    values, bitmap, offsets = layer.get_weights()
    assert values.tolist() == [1, 8, 10, 22, 24, 26, 28, 30]
    assert bitmap.tolist() == [[0b10000001, 0b10], [0, 0], [0b10101010, 0b10]]
    assert offsets.tolist() == [0, 3, 3, 8]
    assert [v.name for v in layer.trainable_weights] == ["table:0"]
    dtypes = [v.dtype for v in layer.weights]
    assert dtypes == [tf.float32, tf.uint8, tf.int32]


@pytest.mark.filterwarnings("ignore:.*weights for 1000 rows")
@pytest.mark.parametrize("width", [1, 7, 8, 64, 65, 300])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_bytes_by_the_formula(width, sparsity):
    layer = SparseEmbedding(1000, width, sparsity)
    layer(tf.constant([0]))
    nnz = layer.embeddings.nnz
    stored = sum(v.shape.num_elements() * v.dtype.size for v in layer.weights)
    assert stored == 4 * nnz + 1000 * -(-width // 8) + 4 * 1001


def test_the_optimizer_keeps_moments_of_the_non_zeros_only():
    layer = SparseEmbedding(1000, 64, 0.9)
    layer(tf.constant([0]))
    for optimizer in (keras.optimizers.Adam(), keras.optimizers.SGD(momentum=0.9)):
        optimizer.build(layer.trainable_weights)
        for slot in slots.find(optimizer, layer.embeddings.values):
            assert slot.variable.shape == [6400]


def test_the_gradient_is_of_active_elements_of_touched_rows_each_once():
    weight = make([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0]])
    with tf.GradientTape() as tape:
        rows = weight.lookup(tf.constant([2, 0, 2, 3]))
        loss = tf.reduce_sum(rows * [[1.0, 2, 3], [4, 5, 6], [10, 20, 30], [7, 8, 9]])
    gradient = tape.gradient(loss, weight.values)
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.indices.numpy().tolist() == [0, 1, 3, 4, 5]
    assert gradient.values.numpy().tolist() == [4, 6, 11, 22, 33]


def test_no_tensor_of_the_tables_shape_in_a_training_step():
    """Rows and columns of the table appear together in no tensor of the graph."""
    rows, width = 977, 13
    table = SparseEmbedding(rows, width, 0.5)
    table(tf.constant([0]))
    optimizer = keras.optimizers.Adam()
    optimizer.build(table.trainable_weights)

    @tf.function
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(table(ids) ** 2)
        optimizer.minimize(loss, table.trainable_weights, tape)

    graph = step.get_concrete_function(tf.TensorSpec([None], tf.int32)).graph
    shapes = [
        output.shape.as_list()
        for function in [graph, *graph._functions.values()]
        for operation in getattr(function, "get_operations", list)()
        for output in operation.outputs
        if output.shape.rank
    ]
    assert len(shapes) > 50
    for shape in shapes:
        assert rows * width not in shape
        assert not (rows in shape and width in shape)


def test_moves_beyond_a_chunk(monkeypatch, rng):
    """Everything moves by more than a chunk: to the end, and back again."""
    monkeypatch.setattr("dsl_tf.storage.packed._CHUNK", 5)
    mask = np.zeros((20, 4), bool)
    mask[:10] = True
    weight = make(mask)
    optimizer = keras.optimizers.Adagrad(initial_accumulator_value=0.5)
    optimizer.build([weight.values])
    (slot,) = slots.find(optimizer, weight.values)
    slot.variable.assign(np.arange(40.0) + 100)
    first, last = np.arange(0, 36), np.arange(44, 80)
    weight.adopt(Exchange(first, last, 36, 36), [slot])
    assert weight.positions().tolist() == list(range(36, 80))[:4] + last.tolist()
    assert weight.active_values().tolist() == [37, 38, 39, 40] + [0] * 36
    assert slot.variable.numpy().tolist() == [136, 137, 138, 139] + [0.5] * 36
    weight.adopt(Exchange(np.arange(4, 40), first, 36, 36), [slot])
    assert weight.positions().tolist() == list(range(40))
    assert weight.active_values().tolist() == [0] * 36 + [37, 38, 39, 40]
    assert slot.variable.numpy().tolist() == [0.5] * 36 + [136, 137, 138, 139]


def test_a_mask_of_another_budget_is_refused():
    weight = make([[1, 0, 1], [0, 1, 0]])
    with pytest.raises(ValueError, match="2 rows and 3 active positions"):
        weight.assign([np.ones((2, 3), bool)], [])


def test_a_large_table_is_made_without_its_dense_form():
    """2M x 64 at 95 %: 512 MB dense; packed 26 MB of values, 24 MB of index."""
    code = """
        import dsl_tf
        import tensorflow as tf, tf_keras as keras
        from dsl_tf.accounting import size
        from dsl_tf.layers.embedding import SparseEmbedding
        tf.keras.utils.set_random_seed(0)
        tf.random.normal([1000, 1000])
        normal = keras.initializers.RandomNormal(seed=1)
        layer = SparseEmbedding(2_000_000, 64, 0.95, normal)
        before = size.rss_bytes()
        size.reset_peak()
        layer(tf.constant([0]))
        print(size.peak_rss_bytes() - before)
    """
    # So that malloc gives back what is freed: else it keeps up to 80 MB of blocks.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert int(ran.stdout.split()[-1]) < 150e6
