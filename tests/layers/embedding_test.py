import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.layers.embedding import SparseEmbedding


def test_without_pruning_it_is_a_keras_embedding():
    table = np.arange(12.0).reshape(4, 3)
    ours = SparseEmbedding(4, 3, 0.0, keras.initializers.Constant(table))
    theirs = keras.layers.Embedding(4, 3, keras.initializers.Constant(table))
    rows = tf.constant([[3, 0], [1, 1]])
    np.testing.assert_array_equal(ours(rows), theirs(rows))
    assert ours.compute_output_shape((None, 2)) == (None, 2, 3)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_row_numbers_of_any_type(dtype):
    layer = SparseEmbedding(40000, 2, 0.5)
    rows = np.array([1, 39999 % 200], dtype)
    expected = layer(tf.constant(rows.astype(np.int32)))
    np.testing.assert_array_equal(layer(rows), expected)


def test_mask_zero():
    model = keras.Sequential(
        [
            SparseEmbedding(3, 2, 0.0, "ones", mask_zero=True),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    model.layers[0].embeddings.values.assign([9, 9, 2, 2, 4, 4])
    assert model(np.array([[1, 2, 0, 0]])).numpy().tolist() == [[3, 3]]


def test_a_sequential_model_is_built_at_once_as_with_keras():
    model = keras.Sequential([SparseEmbedding(5, 2, 0.5, input_length=3)])
    assert model.built
    assert model.output_shape == (None, 3, 2)
    model = keras.Sequential([SparseEmbedding(5, 2, 0.5)])
    assert model.output_shape == (None, None, 2)


def test_mixed_precision():
    layer = SparseEmbedding(5, 2, 0.5, dtype="mixed_float16")
    assert layer(tf.constant([1])).dtype == tf.float16
    assert layer.embeddings.values.dtype == tf.float32
    # A row number above 2048 is no float16.
    layer = SparseEmbedding(3000, 1, 0.0, dtype="mixed_float16")
    layer(tf.constant([0]))
    layer.embeddings.values.assign(tf.range(3000.0) % 2)
    assert layer(tf.constant([2999.0])).numpy() == 1


def test_regularizer():
    layer = SparseEmbedding(
        4, 2, 0.5, "ones", embeddings_regularizer=keras.regularizers.L2(0.5)
    )
    layer(tf.constant([0]))
    assert tf.add_n(layer.losses).numpy() == 2.0  # 0.5 · 4 · 1²


@pytest.mark.parametrize("shape", [(0, 3), (3, -1)])
def test_sizes_must_be_positive(shape):
    with pytest.raises(UserError, match=r"must be at least 1\. Received: input_dim="):
        SparseEmbedding(*shape, 0.5)


def test_ragged_row_numbers_and_those_of_unknown_rank_as_with_keras():
    table = np.arange(12.0).reshape(4, 3)
    ours = SparseEmbedding(4, 3, 0.0, keras.initializers.Constant(table))
    theirs = keras.layers.Embedding(4, 3, keras.initializers.Constant(table))
    rows = tf.ragged.constant([[3, 0], [], [1]])
    assert ours(rows).to_list() == theirs(rows).to_list()
    inputs = keras.Input([None], ragged=True, dtype=tf.int32)
    assert keras.Model(inputs, ours(inputs))(rows).to_list() == ours(rows).to_list()

    @tf.function(input_signature=[tf.TensorSpec(None, tf.int32)])
    def of_any_rank(rows):
        return ours(rows)

    np.testing.assert_array_equal(of_any_rank(tf.constant([[1]])), table[None, [1]])
    np.testing.assert_array_equal(of_any_rank(tf.constant(2)), table[2])


def test_sizes_of_numpy_do_not_overflow():
    layer = SparseEmbedding(np.int32(50), np.int32(4), 0.5)
    assert (layer.input_dim, layer.output_dim) == (50, 4)
    assert all(type(each) is int for each in (layer.input_dim, layer.output_dim))
