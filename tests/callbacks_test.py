import json
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from dsl_tf.callbacks import DynamicSparseTraining
from dsl_tf.errors import UserError
from dsl_tf.layers.embedding import SparseEmbedding
from dsl_tf.storage import slots

ROWS, WIDTH = 40, 8
GRAPH = {"run_eagerly": False}


def make_model(optimizer=None, layer=None, **compiled):
    """Rows of three look-ups, averaged, to a number."""
    uniform = keras.initializers.RandomUniform(-0.5, 0.5, seed=1)
    layer = layer or SparseEmbedding(ROWS, WIDTH, 0.5, uniform, name="table")
    dense = keras.layers.Dense(1, kernel_initializer=uniform)
    model = keras.Sequential([layer, keras.layers.GlobalAveragePooling1D(), dense])
    # Eager steps spare most tests the seconds of a trace.
    compiled = {"run_eagerly": True, **compiled}
    model.compile(optimizer or keras.optimizers.Adam(0.05), "mse", **compiled)
    return model


def data(steps=12, batch=8):
    rng = np.random.default_rng(1)
    x = rng.integers(0, ROWS, (steps * batch, 3))
    return x, np.sin(x.sum(axis=1, keepdims=True)).astype(np.float32)


def fit(model, *callbacks, steps=12, **settings):
    x, y = data(steps)
    return model.fit(
        x,
        y,
        batch_size=8,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
        **settings,
    )


def weight_of(model):
    return model.layers[0].embeddings


def steps_of(callback):
    return [record.step for record in callback.records]


class Spy(keras.callbacks.Callback):
    """What the model is after each step, before later callbacks change it."""

    def __init__(self):
        super().__init__()
        self.values, self.masks = {}, {}

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        weight = weight_of(self.model)
        self.values[step] = weight.read().numpy()
        self.masks[step] = weight.mask()


# When.


def test_it_explores_at_multiples_of_the_interval_before_the_end():
    callback = DynamicSparseTraining(0.5, update_interval=4)
    fit(make_model(), callback, epochs=2)
    assert steps_of(callback) == [4, 8, 12, 16, 20]  # 24 is the end
    ratios = [record.update_ratio for record in callback.records]
    assert ratios == pytest.approx(
        [0.25 * (1 + np.cos(np.pi * t / 6)) for t in range(1, 6)]
    )
    asked = [record.asked for record in callback.records]
    assert asked == [int(ratio * 160 + 0.5) for ratio in ratios]


def test_a_given_end_is_kept():
    callback = DynamicSparseTraining(0.5, update_interval=3, end_step=9)
    fit(make_model(), callback, epochs=2)
    assert steps_of(callback) == [3, 6]


def test_the_first_epoch_may_be_a_later_one():
    callback = DynamicSparseTraining(0.5, update_interval=6)
    fit(make_model(), callback, initial_epoch=3, epochs=4)
    assert callback.schedule.end_step == 12


def test_early_stopping_does_not_change_the_end():
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", True)
    )
    model = make_model()
    callback = DynamicSparseTraining(0.5, update_interval=6)
    fit(model, callback, stop, epochs=5)
    assert callback.schedule.end_step == 60


def test_fit_called_again_goes_on():
    model = make_model()
    callback = DynamicSparseTraining(0.5, update_interval=5, end_step=24)
    fit(model, callback)
    fit(model, callback)
    assert steps_of(callback) == [5, 10, 15, 20]
    other = DynamicSparseTraining(0.5, update_interval=5)
    fit(model, other)
    assert other.schedule.end_step == 36
    assert steps_of(other) == [25, 30, 35]
    assert all(record.offered for record in other.records)


def test_two_fits_are_one_fit():
    """What was recorded before the first `fit` ended serves in the second."""
    once, twice = make_model(), make_model()
    x, y = data(12)
    settings = {"batch_size": 8, "shuffle": False, "verbose": 0}
    callbacks = [
        DynamicSparseTraining(0.5, 8, end_step=24, horizon=8) for _ in range(2)
    ]
    once.fit(
        np.concatenate([x, x]),
        np.concatenate([y, y]),
        callbacks=[callbacks[0]],
        **settings,
    )
    for _ in range(2):
        twice.fit(x, y, callbacks=[callbacks[1]], **settings)
    assert callbacks[0].records == callbacks[1].records
    np.testing.assert_array_equal(weight_of(once).values, weight_of(twice).values)


def test_a_batch_counted_without_data_does_not_hide_an_exploration():
    """Keras counts the step that finds the data at an end, too."""
    x, y = data(5)
    batches = tf.data.Dataset.from_generator(
        lambda: ((x[i : i + 8], y[i : i + 8]) for i in range(0, 40, 8)),
        output_signature=(tf.TensorSpec([8, 3]), tf.TensorSpec([8, 1])),
    )
    model = make_model()
    callback = DynamicSparseTraining(0.5, update_interval=3, end_step=30)
    model.fit(batches, epochs=4, verbose=0, callbacks=[callback])
    done = int(model.optimizer.iterations)
    assert len(callback.records) >= 20 // 3
    assert [step - step % 3 for step in steps_of(callback)] == list(
        range(3, max(steps_of(callback)) + 1, 3)
    )
    assert done >= 20


def test_no_step_no_exploration():
    """Gradients are gathered over two batches: every other call makes no step."""

    class Gathering(keras.Sequential):
        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
            gradients = tape.gradient(loss, self.trainable_variables)
            pairs = list(zip(gradients, self.trainable_variables, strict=True))
            tf.cond(
                self._train_counter % 2 == 1,
                lambda: self.optimizer.apply_gradients(pairs),
                lambda: self.optimizer.iterations.read_value(),
            )
            return {"loss": loss}

    model = Gathering(make_model().layers)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    callback = DynamicSparseTraining(0.5, update_interval=2, end_step=10)
    fit(model, callback)
    assert steps_of(callback) == [2, 4, 6]


# What.


@pytest.mark.parametrize("horizon", [1, 3, "auto"])
def test_budget_masks_and_zeros(horizon):
    model, spy = make_model(**GRAPH), Spy()
    weight = weight_of(model)
    callback = DynamicSparseTraining(0.5, update_interval=3, horizon=horizon)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # horizon 1 finds few candidates
        fit(model, callback, spy, epochs=2)
    for step, mask in spy.masks.items():
        assert mask.sum() == weight.nnz == 160
        assert np.all(spy.values[step][~mask] == 0)
        moved = np.sum(mask != spy.masks.get(step - 1, mask)) // 2
        done = {record.step: record.done for record in callback.records}
        assert moved == done.get(step, 0)
    assert sum(done.values()) > 0


def test_grown_weights_start_at_zero_with_zero_moments():
    model = make_model()
    before, after = Spy(), Spy()
    fit(model, before, DynamicSparseTraining(0.5, 12, end_step=13), after)
    mask = after.masks[12]
    grown = mask & ~before.masks[12]
    assert grown.sum() > 0
    assert np.all(after.values[12][grown] == 0)
    kept = mask & before.masks[12]
    np.testing.assert_array_equal(after.values[12][kept], before.values[12][kept])
    for slot in slots.find(model.optimizer, weight_of(model).values):
        moment = np.zeros(mask.shape)
        moment[mask] = weight_of(model).reader(slot.variable)(0, mask.sum())
        assert np.all(moment[~kept] == 0)
        assert np.any(moment[kept] != 0)


def test_the_gradient_is_that_of_the_effective_weight_summed_over_uses():
    """Hand-worked: one table used twice in a step; loss = a · E[0] + b · (E[1] + E[0]).

    The gradient of row 0 is a + b, of row 1 it is b. SGD with learning rate 0
    keeps the weights, so all that moves is the mask.
    """
    a = np.array([0.0, 5.0, 0.0, -3.0], np.float32)
    b = np.array([1.0, -4.0, 2.0, -3.0], np.float32)
    table = SparseEmbedding(3, 4, 0.5, "ones", name="table")
    rows = keras.Input([1], dtype=tf.int32)
    first, second = table(rows), table(tf.concat([rows + 1, rows], axis=1))
    loss = tf.reduce_sum(a * first) + tf.reduce_sum(b * second)
    model = keras.Model(rows, loss)
    model.add_loss(loss)
    model.compile(keras.optimizers.SGD(0.0))
    weight = table.embeddings
    # Rows 0 and 1 hold two weights each, as they stand: a mask we know.
    mask = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0]], bool)
    values = np.array([4.0, 3.0, 2.0, 1.0, 5.0, 6.0])
    weight.assign([mask], [(slots.Slot(weight.values, 0.0), [values])])
    callback = DynamicSparseTraining(0.34, 1, end_step=2, decay="constant", horizon=1)
    model.fit(np.zeros((1, 1), np.int32), epochs=1, verbose=0, callbacks=[callback])
    # k = round(0.34 · 6) = 2: the weights 1 (row 1) and 2 (row 1) leave.
    # Candidates: row 0: 2, |-3 - 3| = 6; row 1: |-4|, |-3|, and 1 and 2 of those
    # that leave. The best two: row 0 column 3 and row 1 column 1.
    expected = [[1, 1, 0, 1], [0, 1, 0, 0], [0, 1, 1, 0]]
    np.testing.assert_array_equal(weight.mask(), np.array(expected, bool))
    assert weight.active_values().tolist() == [4, 3, 0, 0, 5, 6]
    (record,) = callback.records
    assert (record.asked, record.offered, record.done, record.horizon) == (2, 4, 2, 1)


def test_nothing_grows_in_rows_without_a_gradient():
    """Rows from 20 on are never looked up."""
    model = make_model()
    before = weight_of(model).mask()
    x, y = data()
    callback = DynamicSparseTraining(0.1, 3)
    model.fit(x % 20, y, batch_size=8, verbose=0, callbacks=[callback])
    grown = weight_of(model).mask() & ~before
    assert grown[:20].any()
    assert not grown[20:].any()


def test_below_half_of_what_is_asked_is_a_warning():
    model = make_model()
    before = weight_of(model).mask()
    x, y = data()
    callback = DynamicSparseTraining(0.9, 6, horizon=1, end_step=7, decay="constant")
    with pytest.warns(UserWarning, match=r"Step 6, table/embeddings: \d positions"):
        model.fit(x[:48] * 0 + 1, y[:48], batch_size=8, verbose=0, callbacks=[callback])
    (record,) = callback.records
    # All that row 1 had inactive.
    assert (record.asked, record.offered) == (144, 8 - before[1].sum())


def test_growth_at_random_is_seeded_and_records_nothing():
    def masks(seed):
        model = make_model()
        callback = DynamicSparseTraining(0.5, 4, grow_criterion=None, seed=seed)
        fit(model, callback)
        assert callback.records
        assert {record.horizon for record in callback.records} == {0}
        assert not callback.recorders()
        return weight_of(model).mask()

    np.testing.assert_array_equal(masks(1), masks(1))
    assert not np.array_equal(masks(1), masks(2))


def test_two_runs_are_equal_bit_for_bit():
    def run():
        model = make_model(**GRAPH)
        callback = DynamicSparseTraining(0.5, 4)
        fit(model, callback, epochs=2)
        variables = [*model.weights, *model.optimizer.variables]
        return [variable.numpy() for variable in variables], callback.records

    (first, records), (second, again) = run(), run()
    assert records == again
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_layers_that_are_not_trainable_stay():
    model = make_model()
    frozen = weight_of(model)
    inputs = keras.Input([3], dtype=tf.int32)
    other = SparseEmbedding(ROWS, 2, 0.5, name="other")
    hidden = keras.layers.Flatten()(other(inputs))
    model.layers[0].trainable = False
    both = keras.Model(inputs, model(inputs) + keras.layers.Dense(1)(hidden))
    both.compile("adam", "mse", run_eagerly=True)
    masks = frozen.mask(), other.embeddings.mask()
    callback = DynamicSparseTraining(0.5, 3)
    fit(both, callback)
    np.testing.assert_array_equal(frozen.mask(), masks[0])
    assert not np.array_equal(other.embeddings.mask(), masks[1])
    assert {record.weight for record in callback.records} == {"other/embeddings"}


# Order.


def states(replaces):
    model = make_model()
    before, after = Spy(), Spy()
    callback = DynamicSparseTraining(0.5, 4, exploration_replaces_step=replaces)
    fit(model, before, callback, after)
    return model, before, after


def test_a_table_with_all_its_weights_takes_no_part():
    """It has no place to move one to, and a recorder would take memory."""
    uniform = keras.initializers.RandomUniform(-0.5, 0.5, seed=1)
    layer = SparseEmbedding(ROWS, WIDTH, 0.0, uniform, name="table")
    callback = DynamicSparseTraining(0.5, update_interval=4)
    model = make_model(layer=layer)
    fit(model, callback)
    assert weight_of(model).recorder is None
    assert callback.records == []
    assert weight_of(model).mask().all()


def test_an_exploration_follows_the_step():
    _, before, after = states(replaces=False)
    kept = before.masks[4] & after.masks[4]
    assert np.any(before.values[4][kept] != after.values[3][kept])
    np.testing.assert_array_equal(after.values[4][kept], before.values[4][kept])


def test_an_exploration_replaces_the_step():
    model, before, after = states(replaces=True)
    for step in (4, 8):
        kept = before.masks[step] & after.masks[step]
        assert kept.sum() < 160
        np.testing.assert_array_equal(
            after.values[step][kept], after.values[step - 1][kept]
        )
        # Small weights are those of before the step that was undone.
        left = before.masks[step] & ~after.masks[step]
        magnitudes = np.abs(after.values[step - 1])
        assert magnitudes[left].max() <= magnitudes[before.masks[step]].max()
    assert int(model.optimizer.iterations) == 12  # counted nevertheless


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(0.05),
        lambda: keras.optimizers.Ftrl(0.05),
        lambda: keras.optimizers.legacy.Adam(0.05),
        lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam(0.05)),
    ],
)
def test_a_replaced_step_leaves_no_moments(optimizer):
    """The very first step: weights and moments are those of an untrained model."""
    model = make_model(optimizer())
    table = weight_of(model).read().numpy()
    fresh = [variable.numpy() for variable in model.trainable_variables]
    callback = DynamicSparseTraining(
        0.2, 1, end_step=2, decay="constant", exploration_replaces_step=True
    )
    fit(model, callback, steps=1)
    mask = weight_of(model).mask()
    np.testing.assert_array_equal(weight_of(model).read(), np.where(mask, table, 0))
    np.testing.assert_array_equal(model.trainable_variables[1], fresh[1])
    new = optimizer()
    inner = getattr(new, "inner_optimizer", new)
    variables = getattr(model.optimizer, "inner_optimizer", model.optimizer).variables()
    for variable in variables:
        if variable.dtype.is_floating and variable.shape.rank:
            expected = getattr(inner, "initial_accumulator_value", 0.0)
            expected = expected if "accumulator" in variable.name else 0.0
            np.testing.assert_array_equal(variable, np.float32(expected))


# The horizon.


def test_the_first_step_tells_the_horizon():
    """8 · 3 look-ups touch about 18 of 40 rows; k = 80 asks for 40 rows of 4."""
    callback = DynamicSparseTraining(0.5, 10, end_step=11, decay="constant")
    fit(make_model(), callback)
    (record,) = callback.records
    assert record.horizon == 10  # all rows are wanted: the whole interval
    callback = DynamicSparseTraining(0.2, 10, end_step=11, decay="constant")
    fit(make_model(), callback)
    (record,) = callback.records
    assert record.horizon == 1
    assert record.offered >= 2 * record.asked or callback.next_horizon == 2


def test_a_horizon_that_offers_too_little_doubles():
    callback = DynamicSparseTraining(0.4, 4, end_step=13, decay="constant")
    callback.next_horizon = 1
    fit(make_model(), callback)
    assert [record.horizon for record in callback.records] == [1, 2, 4]


def test_a_given_horizon_stays():
    callback = DynamicSparseTraining(0.4, 4, horizon=2)
    fit(make_model(), callback)
    assert [record.horizon for record in callback.records] == [2, 2]


def test_the_horizon_is_what_is_recorded():
    """Rows of the last two batches before the exploration, and no others."""
    x = np.repeat(np.arange(12), 24).reshape(96, 3)  # batch t looks up row t - 1
    y = np.ones((96, 1), np.float32)
    model = make_model()
    seen = []
    see = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            weight_of(model).recorder.recorded()[0].numpy().tolist()
        )
    )
    callback = DynamicSparseTraining(0.01, 5, end_step=11, horizon=2)
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[see, callback])
    assert seen == [[], [], [], [3], [3, 4], [], [], [], [8], [8, 9], [], []]


# The model around it.


def test_steps_per_execution():
    """The same masks, however many steps Keras takes at once."""
    one, many = (make_model(steps_per_execution=n, **GRAPH) for n in (1, 4))
    callbacks = [DynamicSparseTraining(0.5, 12, horizon=12, end_step=25) for _ in "ab"]
    for model, callback in zip((one, many), callbacks, strict=True):
        fit(model, callback, epochs=2)
    assert steps_of(callbacks[1]) == [12, 24]
    assert callbacks[0].records == callbacks[1].records
    np.testing.assert_array_equal(weight_of(one).mask(), weight_of(many).mask())
    np.testing.assert_array_equal(weight_of(one).values, weight_of(many).values)


def test_a_probe_of_several_steps_counts_them():
    callback = DynamicSparseTraining(0.3, 12, end_step=13, decay="constant")
    fit(make_model(steps_per_execution=4, **GRAPH), callback)
    (record,) = callback.records
    assert record.horizon % 4 == 0
    assert record.offered > 0


def test_a_smaller_last_batch_is_recorded_too():
    model = make_model(**GRAPH)
    x, y = data()
    callback = DynamicSparseTraining(0.5, 4, end_step=5, horizon=1)
    # Batches of 8, 8, 8 and 3, the one that explores.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x[:27], y[:27], batch_size=8, verbose=0, callbacks=[callback])
    (record,) = callback.records
    assert record.offered > 0


def test_a_model_that_was_trained_and_is_trained_again_without():
    model = make_model(**GRAPH)
    fit(model)  # traced without recorders
    callback = DynamicSparseTraining(0.5, 4)
    fit(model, callback)
    assert all(record.offered for record in callback.records)
    mask = weight_of(model).mask()
    fit(model)
    np.testing.assert_array_equal(weight_of(model).mask(), mask)


def test_a_model_built_by_its_first_batch():
    class Lazy(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = SparseEmbedding(ROWS, WIDTH, 0.5)
            self.out = keras.layers.Dense(1)

        def call(self, inputs):
            return self.out(tf.reduce_mean(self.table(inputs), axis=1))

    model = Lazy()
    model.compile("adam", "mse")
    callback = DynamicSparseTraining(0.3, 1, end_step=4)
    fit(model, callback, steps=3)
    assert steps_of(callback) == [1, 2, 3]
    assert all(record.offered and record.horizon == 1 for record in callback.records)


def test_graph_and_eager_agree():
    masks = []
    for eager in (True, False):
        model = make_model(run_eagerly=eager)
        fit(model, DynamicSparseTraining(0.5, 4))
        masks.append(weight_of(model).mask())
    np.testing.assert_array_equal(*masks)


def test_an_overflow_of_mixed_precision_spoils_nothing():
    """The first loss scales overflow: steps that are counted and not made."""
    optimizer = keras.mixed_precision.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=2.0**127
    )
    model = make_model(optimizer)
    callback = DynamicSparseTraining(0.1, 6, end_step=13, horizon=6)
    x, y = data()
    model.fit(x, 100 * y, batch_size=8, verbose=0, callbacks=[callback])
    assert model.optimizer.loss_scale < 2.0**126
    assert steps_of(callback) == [6, 12]
    assert np.all(np.isfinite(weight_of(model).active_values()))
    assert np.all(np.isfinite(weight_of(model).recorder.recorded()[1]))


def test_state_goes_through_json_and_recorders_through_a_checkpoint(tmp_path):
    """A run stopped between explorations and gone on with is the whole run."""
    x, y = data()
    settings = {"batch_size": 8, "shuffle": False, "verbose": 0}

    def start():
        model = make_model()
        callback = DynamicSparseTraining(0.5, 4, end_step=12)
        callback.set_model(model)
        saved = {"model": model, "optimizer": model.optimizer}
        recorders = tf.train.Checkpoint(**callback.recorders())
        return model, callback, tf.train.Checkpoint(**saved, recorders=recorders)

    whole, callback, _ = start()
    whole.fit(x, y, callbacks=[callback], **settings)
    first, callback, checkpoint = start()
    first.fit(x[:56], y[:56], callbacks=[callback], **settings)  # 7 steps of 12
    path = checkpoint.write(str(tmp_path / "saved"))
    state = json.dumps(callback.state())

    second, callback, checkpoint = start()
    second.optimizer.build(second.trainable_variables)
    checkpoint.read(path).assert_existing_objects_matched()
    callback.restore(json.loads(state))
    second.fit(x[56:], y[56:], callbacks=[callback], **settings)
    for a, b in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert steps_of(callback) == [4, 8]


# Mistakes.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial_update_ratio": 1.5}, r"initial_update_ratio=1\.5"),
        ({"update_interval": 0}, "update_interval=0"),
        ({"update_interval": 10, "end_step": 10}, "no exploration ever comes"),
        ({"decay": "cosin"}, "one of cosine, linear, constant, none"),
        ({"horizon": 0}, "`horizon` must be.*horizon=0"),
        ({"horizon": "all"}, "horizon='all'"),
        ({"horizon": 101}, "from 1 to `update_interval`.*horizon=101"),
    ],
)
def test_settings_are_refused_at_once(settings, message):
    with pytest.raises(UserError, match=message):
        DynamicSparseTraining(**settings)


def test_a_model_without_sparse_layers_is_refused():
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(3,))], name="mine")
    model.compile("sgd", "mse")
    with pytest.raises(UserError, match="Received: 'mine', which has none"):
        fit(model, DynamicSparseTraining())


@pytest.mark.parametrize(
    ("compiled", "settings", "message"),
    [
        ({"steps_per_execution": 3}, {}, "must divide `update_interval`"),
        ({"steps_per_execution": 2}, {"horizon": 3}, "must divide `horizon`"),
        ({"steps_per_execution": "auto"}, {}, "'auto'"),
        (
            {"steps_per_execution": 2},
            {"exploration_replaces_step": True},
            "needs steps_per_execution=1",
        ),
        ({"jit_compile": True}, {}, "jit_compile=True"),
    ],
)
def test_what_cannot_work_is_one_line(compiled, settings, message):
    with pytest.raises(UserError, match=message):
        fit(
            make_model(**{**GRAPH, **compiled}),
            DynamicSparseTraining(0.5, 4, **settings),
        )


def test_an_exploration_that_never_comes_is_refused():
    with pytest.raises(UserError, match="update_interval=12, end_step=12"):
        fit(make_model(), DynamicSparseTraining(0.5, 12))


def test_unknown_length_needs_an_end():
    x, y = data(2)
    batches = tf.data.Dataset.from_generator(
        lambda: iter([(x, y)]),
        output_signature=(tf.TensorSpec(x.shape), tf.TensorSpec(y.shape)),
    )
    with pytest.raises(UserError, match="`end_step` must be given"):
        make_model().fit(batches, verbose=0, callbacks=[DynamicSparseTraining(0.5, 1)])


@pytest.mark.parametrize("settings", [{"decay": "none"}, {"initial_update_ratio": 0.0}])
def test_random_pruning_keeps_its_mask(settings):
    model = make_model()
    mask = weight_of(model).mask()
    callback = DynamicSparseTraining(**settings)
    fit(model, callback)
    np.testing.assert_array_equal(weight_of(model).mask(), mask)
    assert callback.records == []


# Other ways to train.


class TwoOptimizers(keras.Sequential):
    """Its table is updated by one optimiser of its own, the rest by another."""

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
        table = self.layers[0].trainable_variables
        ids = {id(each) for each in table}
        rest = [v for v in self.trainable_variables if id(v) not in ids]
        first, second = tape.gradient(loss, [table, rest])
        self.of_table.apply_gradients(zip(first, table, strict=True))
        self.optimizer.apply_gradients(zip(second, rest, strict=True))
        return {"loss": loss}


def two_optimizers():
    model = TwoOptimizers(make_model().layers)
    model.of_table = keras.optimizers.Adam(0.05)
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def test_moments_of_another_optimiser_move_with_their_weights():
    """They stayed where they were, and belonged to other weights."""
    model, before = two_optimizers(), {}

    class Before(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            weight = weight_of(model)
            found = slots.find(model.of_table, weight.values)
            before["positions"] = weight.positions()
            before["moments"] = [each.variable.numpy() for each in found]

    callback = DynamicSparseTraining(0.5, update_interval=6, end_step=7)
    fit(model, Before(), callback, steps=6)  # the last step is explored after
    weight = weight_of(model)
    after = [s.variable.numpy() for s in slots.find(model.of_table, weight.values)]
    assert len(after) == 2
    for old, new in zip(before["moments"], after, strict=True):
        old = dict(zip(before["positions"], old, strict=True))
        for position, value in zip(weight.positions(), new, strict=True):
            assert value == old.get(position, 0.0)
    assert set(weight.positions()) != set(before["positions"])


def test_a_model_whose_optimiser_takes_no_step_is_told():
    class Other(TwoOptimizers):
        def train_step(self, batch):
            return {"loss": tf.reduce_mean(self(batch[0]))}

    model = Other(make_model().layers)
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.warns(UserWarning, match="has taken no step in this epoch"):
        fit(model, DynamicSparseTraining(0.5, update_interval=4))


def test_a_fit_in_which_nothing_is_due_is_told():
    model = make_model()
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(1000)
    with pytest.warns(UserWarning, match="into the steps 1000 to 1012 of this fit"):
        fit(model, DynamicSparseTraining(0.5, update_interval=100))


def test_another_callback_has_recorders_of_its_own():
    """It got those of the first one, with what they had begun to sum."""
    model = make_model()
    stop = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", True)
    )
    first = DynamicSparseTraining(0.5, update_interval=6, horizon=6, recorder_rows=3)
    fit(model, stop, first)
    recorder = weight_of(model).recorder
    assert (recorder.capacity, len(recorder.recorded()[0])) == (3, 3)
    second = DynamicSparseTraining(0.5, update_interval=6, recorder_rows=3)
    second.set_model(model)
    assert weight_of(model).recorder is recorder
    assert len(recorder.recorded()[0]) == 0
    DynamicSparseTraining(0.5, update_interval=6).set_model(model)
    assert weight_of(model).recorder.capacity == ROWS


@pytest.mark.parametrize(
    "settings", [{"recorder_rows": 0}, {"sampled_rows": 0.0}, {"sampled_rows": 1.5}]
)
def test_recorders_of_nothing_are_refused_at_once(settings):
    with pytest.raises(UserError, match="`recorder_rows` must be at least 1"):
        DynamicSparseTraining(**settings)


def test_nothing_is_recorded_where_nothing_moves():
    model = make_model()
    fit(model, DynamicSparseTraining(0.0, update_interval=4))
    assert weight_of(model).recorder is None


def test_an_optimiser_with_accumulators_of_its_own():
    """It was asked for an initial value that only Adagrad has."""

    class Accumulating(keras.optimizers.SGD):
        def build(self, variables):
            super().build(variables)
            if not hasattr(self, "_accumulators"):
                self._accumulators = [
                    self.add_variable_from_reference(each, "sum") for each in variables
                ]

    callback = DynamicSparseTraining(0.5, update_interval=4)
    fit(make_model(Accumulating(0.05)), callback)
    assert steps_of(callback) == [4, 8]


class BrokenOffError(Exception):
    """Of a callback, or of Ctrl-C."""


def _held(model):
    return weight_of(model).recorder.recorded()[1].numpy()


@pytest.mark.parametrize("compiled", [GRAPH, {}])
def test_a_fit_that_raises_leaves_the_model_as_it_was(compiled):
    """A later `fit` without the callback went on recording."""
    model = make_model(**compiled)
    callback = DynamicSparseTraining(0.5, 12, end_step=60, horizon=12)
    fit(model, callback, steps=3)  # the recorder is on, and holds rows

    def stop(batch, logs=None):
        raise BrokenOffError

    with pytest.raises(BrokenOffError):
        fit(model, callback, keras.callbacks.LambdaCallback(on_train_batch_end=stop))
    assert "train_step" not in vars(model)
    held = _held(model)
    assert len(held)
    fit(model)
    np.testing.assert_array_equal(_held(model), held)


def test_a_step_that_fails_leaves_the_model_as_it_was():
    model = make_model(**GRAPH)
    callback = DynamicSparseTraining(0.5, 12, end_step=60, horizon=12)
    x, y = data()
    x = x.copy()
    x[-1] = 40  # a row that there is not
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[callback])
    assert not weight_of(model).watched
    held = _held(model)
    fit(model)
    np.testing.assert_array_equal(_held(model), held)


@pytest.mark.parametrize("inner", [keras.optimizers.SGD, keras.optimizers.legacy.SGD])
@pytest.mark.parametrize("compiled", [GRAPH, {}])
def test_gradients_are_recorded_without_the_scale_of_the_loss(inner, compiled):
    """It doubled from step to step, and the last rows won all that grew."""

    def recorded(optimizer):
        model = make_model(optimizer, **compiled)
        callback = DynamicSparseTraining(0.1, 6, end_step=13, horizon=6)
        x, y = data(5)  # one step less than to the exploration
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[callback])
        return weight_of(model).recorder.recorded()

    rows, plain = recorded(inner(0.05))
    growing = keras.mixed_precision.LossScaleOptimizer(
        inner(0.05), initial_scale=2.0**10, dynamic_growth_steps=1
    )
    again, unscaled = recorded(growing)
    assert growing.loss_scale == 2.0**15
    np.testing.assert_array_equal(rows, again)
    np.testing.assert_allclose(unscaled, plain, rtol=1e-5, atol=1e-8)


def test_an_optimiser_that_a_model_keeps_wrapped_and_bare_moves_moments_once():
    def moments(keep):
        optimizer = keras.optimizers.Adam(0.05)
        model = make_model(keras.mixed_precision.LossScaleOptimizer(optimizer))
        if keep:
            model.own = optimizer
        fit(model, DynamicSparseTraining(0.5, 6, end_step=7), steps=6)
        found = slots.find(optimizer, weight_of(model).values)
        return [slot.variable.numpy() for slot in found]

    for once, twice in zip(moments(False), moments(True), strict=True):
        assert once.any()
        np.testing.assert_array_equal(once, twice)
