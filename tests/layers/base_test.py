import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.errors import UserError
from dsl_tf.layers.base import SparseLayer, named_weights
from dsl_tf.layers.embedding import SparseEmbedding


class Pair(SparseLayer):
    """Two matrices in one layer."""

    def build(self, input_shape=None):
        for name in ("first", "second"):
            self.add_sparse_weight(name, (20, 8), keras.initializers.Ones())


def built(**settings):
    layer = Pair(**{"sparsity": 0.5, "name": "pair", **settings})
    layer.build()
    return layer


def masks(layer):
    return [weight.mask() for weight in layer.own_sparse_weights]


def test_the_mask_is_a_function_of_seed_layer_and_weight():
    first, second = masks(built())
    assert first.sum() == second.sum() == 80
    np.testing.assert_array_equal(masks(built())[0], first)
    for other in (second, masks(built(seed=1))[0], masks(built(name="other"))[0]):
        assert not np.array_equal(other, first)


def test_popularity_decides_where_the_budget_is_short():
    popularity = np.arange(20)
    with pytest.warns(UserWarning, match=r"10 weights for 20 rows: 50\.0%"):
        layer = built(sparsity=1 - 10 / 160, popularity=popularity)
    assert masks(layer)[0].any(axis=1).tolist() == [False] * 10 + [True] * 10


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, float("nan")])
def test_sparsity_out_of_range(sparsity):
    with pytest.raises(UserError, match=r"in \[0, 1\)\. Received: sparsity="):
        Pair(sparsity=sparsity)


def test_an_unknown_storage_is_refused_at_once():
    with pytest.raises(UserError, match="`storage` must be one of"):
        Pair(sparsity=0.5, storage="paked")


def test_recorders_and_switches_reach_weights_made_later():
    layer = Pair(sparsity=0.5)
    layer.record_gradients(7)
    layer.record(True)
    layer.watch(True)
    layer.build()
    for weight in layer.own_sparse_weights:
        assert weight.recorder.capacity == 7
        assert weight.recorder.recording.numpy()
        assert weight.watched
    recorders = [weight.recorder for weight in layer.own_sparse_weights]
    layer.record_gradients(7)  # again: those there are stay
    layer.record(False)
    layer.watch(False)
    for weight, recorder in zip(layer.own_sparse_weights, recorders, strict=True):
        assert weight.recorder is recorder
        assert not recorder.recording.numpy()
        assert not weight.watched


def test_recorders_are_no_part_of_the_layer():
    layer = built()
    before = [v.name for v in layer.weights]
    layer.record_gradients(7)
    assert [v.name for v in layer.weights] == before
    saved = tf.train.Checkpoint(layer=layer).save_counter  # builds the graph
    assert saved is not None


def test_a_regularizer_acts_on_active_values_only():
    class Off(SparseLayer):
        def build(self, input_shape=None):
            self.add_sparse_weight(
                "w",
                (4, 4),
                keras.initializers.Constant(2.0),
                # Would move a pruned weight: (0 - 1)² has a slope.
                lambda values: tf.reduce_sum(tf.square(values - 1.0)),
            )

    layer = Off(sparsity=0.75, name="off")
    layer.build()
    weight = layer.own_sparse_weights[0]
    with tf.GradientTape() as tape:
        loss = tf.add_n(layer.losses)
    assert loss.numpy() == 4.0
    gradient = tf.convert_to_tensor(tape.gradient(loss, weight.values))
    assert np.sum(gradient.numpy() != 0) == 4


def test_names_of_nested_layers_are_kept_apart():
    layers = [built(), built(), built(name="other")]
    weights = named_weights(layers)
    assert list(weights) == [
        "pair/first", "pair/second", "pair/first_", "pair/second_",
        "other/first", "other/second",
    ]  # fmt: skip
    assert weights["pair/first_"] is layers[1].own_sparse_weights[0]


def test_rows_are_sampled_of_a_layer_that_is_built_later():
    """Nothing was recorded before the first exploration."""
    built, later = (SparseEmbedding(100, 2, 0.5, name="table") for _ in range(2))
    built.build()
    for layer in (built, later):
        layer.record_gradients(100, 0.5)
        layer.resample(np.random.default_rng(3))
    later.build()
    sampled = [layer.embeddings.recorder._sampled.numpy() for layer in (built, later)]
    assert sampled[0].sum() == 50
    np.testing.assert_array_equal(*sampled)


def test_popularity_is_of_each_row():
    layer = SparseEmbedding(6, 2, 0.5, popularity=np.ones(5))
    with pytest.raises(UserError, match=r"each of 6 rows. Received: .* shape \(5,\)"):
        layer.build()
