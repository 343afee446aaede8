import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf import optimizers
from dsl_tf.errors import UserError
from dsl_tf.optimizers import LazyAdam


def sparse(values, rows, size=5):
    values = tf.constant(values, tf.float32)
    return tf.IndexedSlices(values, tf.constant(rows), tf.constant([size, 2]))


def table():
    return tf.Variable(np.arange(10.0, dtype=np.float32).reshape(5, 2))


def apply(optimizer, variable, *gradients):
    for gradient in gradients:
        optimizer.apply_gradients([(gradient, variable)])
    return variable.numpy()


FIRST = ([[0.3, -2.0], [1e-3, 0.0], [5.0, 0.1]], [0, 2, 3])


@pytest.mark.parametrize("amsgrad", [False, True])
def test_the_first_step_is_that_of_keras_bit_for_bit(amsgrad):
    ours, theirs = table(), table()
    apply(LazyAdam(0.1, amsgrad=amsgrad), ours, sparse(*FIRST))
    apply(keras.optimizers.Adam(0.1, amsgrad=amsgrad), theirs, sparse(*FIRST))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_rows_touched_in_every_step_go_with_keras(amsgrad):
    gradients = [sparse(np.sin(i + np.arange(4)).reshape(2, 2), [1, 4]) for i in (1, 2)]
    ours = apply(LazyAdam(0.1, amsgrad=amsgrad), table(), *gradients)
    theirs = apply(keras.optimizers.Adam(0.1, amsgrad=amsgrad), table(), *gradients)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_rows_without_a_gradient_stay_with_their_moments():
    """Row 0 once, row 1 ten times, row 0 again, by hand."""
    optimizer, variable = LazyAdam(0.1, epsilon=0.0), table()
    apply(optimizer, variable, sparse([[1.0, 1.0]], [0]))
    before = variable.numpy()
    apply(optimizer, variable, *[sparse([[1.0, 1.0]], [1])] * 10)
    np.testing.assert_array_equal(variable.numpy()[0], before[0])
    np.testing.assert_array_equal(variable.numpy()[2:], table().numpy()[2:])
    apply(optimizer, variable, sparse([[2.0, 2.0]], [0]))
    # m = .9 · .1 + .1 · 2 and v = .999 · .001 + .001 · 4, corrected for step 12.
    m, v = 0.29, 0.004999
    step = 0.1 * (1 - 0.999**12) ** 0.5 / (1 - 0.9**12) * m / v**0.5
    np.testing.assert_allclose(variable.numpy()[0], before[0] - step, rtol=1e-5)


@pytest.mark.parametrize(
    "rows",
    [
        [0, 1, 3, 4],  # in order
        [3, 4, 0, 1],  # two look-ups of a joint table
        [1, 1, 2, 3],
        [3, 4, 0, 3],
        [4, 3, 2, 0],
        [2, 2, 2, 2],
        [1],
        [],
    ],
)
def test_gradients_of_equal_rows_are_summed(rows):
    gradient = np.linspace(-1, 2, 2 * len(rows)).reshape(-1, 2)
    summed = np.zeros((5, 2))
    np.add.at(summed, rows, gradient)
    unique = np.unique(np.array(rows, np.int32))
    ours = apply(
        LazyAdam(0.1), table(), sparse(gradient, np.array(rows, np.int32))
    )  # fmt: skip
    expected = apply(LazyAdam(0.1), table(), sparse(summed[unique], unique))
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("rows", [[0, 1, 3], [3, 4, 0], [1, 1, 2], [4, 3, 2]])
@pytest.mark.parametrize("name", ["adam", "adagrad"])
def test_spared_searches_change_no_bit(name, rows):
    gradients = [sparse(np.sin(np.arange(6) + i).reshape(3, 2), rows) for i in (0, 1)]
    make = {"adam": keras.optimizers.Adam, "adagrad": keras.optimizers.Adagrad}[name]
    expected = apply(make(0.1), table(), *gradients)
    spared = make(0.1)
    search, searches = spared._deduplicate_sparse_grad, []
    spared._deduplicate_sparse_grad = lambda grads: searches.append(1) or search(grads)
    for _ in range(2):  # once is enough
        optimizers.spare_search(spared)
    found = apply(spared, table(), *gradients)
    np.testing.assert_array_equal(found, expected)
    assert bool(searches) == (rows in ([1, 1, 2], [4, 3, 2]))


def test_dense_gradients_are_those_of_keras():
    gradients = [tf.constant(np.full((5, 2), x, np.float32)) for x in (0.3, -1.0)]
    ours = apply(LazyAdam(0.1), table(), *gradients)
    theirs = apply(keras.optimizers.Adam(0.1), table(), *gradients)
    np.testing.assert_array_equal(ours, theirs)


def test_it_works_in_fit_with_a_schedule_and_is_saved(tmp_path):
    def model():
        layers = [keras.layers.Embedding(9, 2, input_length=1), keras.layers.Flatten()]
        rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
        made = keras.Sequential([*layers, keras.layers.Dense(1)])
        made.compile(LazyAdam(rate), "mse")
        return made

    x, y = np.arange(8)[:, None] % 5, np.ones((8, 1))
    first = model()
    history = first.fit(x, y, batch_size=4, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    first.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, LazyAdam)
    for a, b in zip(first.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_by_name():
    assert isinstance(optimizers.make("lazy_adam", 0.1), LazyAdam)
    assert type(optimizers.make("adam", 0.1)) is keras.optimizers.Adam
    with pytest.raises(UserError, match=r"must be lazy_adam or a Keras .*'lazy_adm'"):
        optimizers.make("lazy_adm", 0.1)
    with pytest.raises(UserError, match=r"must be above 0\. Received: 0"):
        optimizers.make("adam", 0)


def test_the_decay_of_the_second_moment():
    for name in ("adam", "lazy_adam", "adamw"):
        assert optimizers.make(name, 0.1, beta_2=0.9).beta_2 == 0.9
    optimizers.make("sgd", 0.1, beta_2=0.9)  # has none
    with pytest.raises(UserError, match=r"`optimizer.beta_2` must be in \[0, 1\)"):
        optimizers.make("adam", 0.1, beta_2=1.0)


def test_a_cosine_decay_ends_at_zero():
    optimizer = optimizers.make("adam", 0.5, "cosine", 10)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 5, 10)]
    assert rates == pytest.approx([0.5, 0.25, 0.0], abs=1e-6)
    with pytest.raises(UserError, match="learning_rate_schedule` must be one of"):
        optimizers.make("adam", 0.5, "linear", 10)
