import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl_tf.errors import UserError
from dsl_tf.storage.recorder import GradientRecorder

KINDS = pytest.mark.parametrize("graph", [False, True])


def feed(recorder, rows, gradient, graph=False):
    """One backward pass through `watch` that brings `gradient` for `rows`."""

    def step(rows, gradient):
        with tf.GradientTape() as tape:
            effective = tf.zeros_like(gradient)
            tape.watch(effective)
            loss = tf.reduce_sum(recorder.watch(rows, effective) * gradient)
        return tape.gradient(loss, effective)

    step = tf.function(step) if graph else step
    return step(tf.constant(rows), tf.constant(gradient, tf.float32))


def recorded(recorder):
    rows, sums = recorder.recorded()
    return rows.numpy().tolist(), sums.numpy().tolist()


@KINDS
def test_it_sums_by_row(graph):
    recorder = GradientRecorder(10, 2, capacity=4, recording=True)
    feed(recorder, [7, 2], [[1, 2], [3, 4]], graph)
    feed(recorder, [2, 5], [[10, 20], [5, 6]], graph)
    assert recorded(recorder) == ([2, 5, 7], [[13, 24], [5, 6], [1, 2]])


@KINDS
def test_the_gradient_passes_unchanged_on_and_off(graph):
    recorder = GradientRecorder(10, 1, capacity=4)
    gradient = feed(recorder, [3], [[2.5]], graph)
    assert gradient.numpy().tolist() == [[2.5]]
    assert recorded(recorder) == ([], [])
    recorder.recording.assign(True)
    gradient = feed(recorder, [3], [[2.5]], graph)
    assert gradient.numpy().tolist() == [[2.5]]
    assert recorded(recorder) == ([3], [[2.5]])


def test_the_switch_works_after_tracing():
    recorder = GradientRecorder(10, 1, capacity=4)

    @tf.function
    def step(rows):
        with tf.GradientTape() as tape:
            effective = tf.zeros([1, 1])
            tape.watch(effective)
            loss = tf.reduce_sum(recorder.watch(rows, effective))
        return tape.gradient(loss, effective)

    step(tf.constant([1]))
    recorder.recording.assign(True)
    step(tf.constant([2]))
    recorder.recording.assign(False)
    step(tf.constant([3]))
    assert step.experimental_get_tracing_count() == 1
    assert recorded(recorder) == ([2], [[1.0]])


@KINDS
def test_rows_of_least_norm_leave_first(graph):
    recorder = GradientRecorder(10, 1, capacity=2, recording=True)
    feed(recorder, [1, 2], [[3.0], [1.0]], graph)
    feed(recorder, [2, 4], [[1.0], [-2.5]], graph)
    # Norms 3, 1 + 1 and 2.5: row 2 leaves.
    assert recorded(recorder) == ([1, 4], [[3.0], [-2.5]])
    # A row that left begins again from nothing.
    feed(recorder, [2], [[2.75]], graph)
    assert recorded(recorder) == ([1, 2], [[3.0], [2.75]])
    # Rows that are there need no place.
    feed(recorder, [2, 1], [[1.0], [1.0]], graph)
    assert recorded(recorder) == ([1, 2], [[4.0], [3.75]])


def test_more_rows_at_once_than_it_holds():
    recorder = GradientRecorder(10, 1, capacity=2, recording=True)
    feed(recorder, [0, 5, 7, 9], [[1.0], [4.0], [2.0], [3.0]])
    assert recorded(recorder) == ([5, 9], [[4.0], [3.0]])


def test_no_row_leaves_before_all_parts_of_a_step_are_added():
    recorder = GradientRecorder(10, 1, capacity=2, recording=True)
    feed(recorder, [7, 8], [[1.0], [1.0]])
    waiting = None
    for rows, gradient in (([3, 4], [2.0, 3.0]), ([5, 6], [4.0, 1.0]), ([7], [2.5])):
        waiting = recorder.add_part(
            tf.constant(rows), tf.constant(gradient)[:, None], waiting
        )
    recorder.settle(waiting)
    # Row 7 has 3.5 in the end, though it was of least norm at first.
    assert recorded(recorder) == ([5, 7], [[4.0], [3.5]])


def test_equal_norms():
    recorder = GradientRecorder(10, 1, capacity=2, recording=True)
    feed(recorder, [8, 6, 4], [[1.0], [-1.0], [1.0]])
    assert recorded(recorder) == ([6, 8], [[-1.0], [1.0]])  # the first to come stay


def test_clear_forgets_and_leaves_the_switch():
    recorder = GradientRecorder(10, 1, capacity=2, recording=True)
    feed(recorder, [1, 2, 3], [[1.0], [2.0], [3.0]])
    recorder.clear()
    assert recorded(recorder) == ([], [])
    assert recorder.recording.numpy()
    feed(recorder, [3], [[0.5]])
    assert recorded(recorder) == ([3], [[0.5]])


def test_an_overflow_does_not_spoil_the_sum():
    recorder = GradientRecorder(4, 2, capacity=4, recording=True)
    feed(recorder, [1], [[1.0, 2.0]])
    feed(recorder, [1], [[np.inf, np.nan]])
    assert recorded(recorder) == ([1], [[1.0, 2.0]])


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
@pytest.mark.parametrize("gradient", [tf.float16, tf.float32, tf.float64])
def test_dtypes(dtype, gradient):
    recorder = GradientRecorder(4, 1, capacity=4, recording=True)
    with tf.GradientTape() as tape:
        effective = tf.ones([1, 1], gradient)
        tape.watch(effective)
        loss = tf.reduce_sum(recorder.watch(tf.constant([3], dtype), effective))
    assert tape.gradient(loss, effective).dtype == gradient
    rows, sums = recorder.recorded()
    assert (rows.dtype, sums.dtype) == (tf.int64, tf.float32)


def test_capacity_is_at_most_the_rows():
    assert GradientRecorder(5, 1, capacity=100).capacity == 5
    with pytest.raises(UserError, match=r"`recorder_rows`.*Received: 0"):
        GradientRecorder(5, 1, capacity=0)


@functools.cache
def recorder_of(capacity):
    return GradientRecorder(6, 1, capacity, recording=True)


@settings(deadline=None)  # the first call of an operation is slow
@given(
    st.integers(1, 6),
    st.lists(
        st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True), max_size=4
    ),
)
def test_as_a_dictionary_of_sums(capacity, batches):
    """Gradients are powers of two times a row's weight: no two norms are equal."""
    recorder = recorder_of(capacity)
    recorder.clear()
    sums = {}
    for number, rows in enumerate(batches):
        gradient = [[float(1 + row + 10 * number)] for row in rows]
        feed(recorder, rows, gradient)
        for row, (value,) in zip(rows, gradient, strict=True):
            sums[row] = sums.get(row, 0.0) + value
        while len(sums) > capacity:  # ties: those held first, then in order
            order = list(sums)
            sums.pop(min(order, key=lambda row: (sums[row], -order.index(row))))
        if len({*sums.values()}) < len(sums):
            return  # equal norms: another test
    rows, values = recorded(recorder)
    assert dict(zip(rows, np.ravel(values).tolist(), strict=True)) == sums


def test_only_the_sampled_rows_are_recorded():
    recorder = GradientRecorder(8, 1, capacity=8, recording=True, share=0.5)
    use = np.array([1, 1, 1, 1, 1e6, 1e6, 1e6, 1e6])
    assert recorder.capacity == 4  # it takes no more memory than its rows
    recorder.resample(use, np.random.default_rng(0))
    feed(recorder, np.arange(8), np.ones((8, 1)), graph=True)
    assert recorded(recorder) == ([4, 5, 6, 7], [[1.0]] * 4)
    # A sample is drawn anew, and without weights all rows are alike.
    drawn = np.zeros(8)
    for seed in range(400):
        recorder.resample(None, np.random.default_rng(seed))
        assert np.count_nonzero(recorder._sampled) == 4
        drawn += recorder._sampled.numpy()
    assert np.all(np.abs(drawn - 200) < 50)
    with pytest.raises(UserError, match=r"in \(0, 1\]. Received: 0"):
        GradientRecorder(8, 1, capacity=8, share=0.0)


def test_a_gradient_that_overflows_is_not_in_the_sum():
    recorder = GradientRecorder(4, 2, capacity=4, recording=True)
    recorder.add(tf.constant([0, 1]), tf.constant([[1.0, 2.0], [3.0, np.inf]]))
    recorder.add(tf.constant([0]), tf.constant([[5.0, 6.0]]))
    rows, sums = recorder.recorded()
    np.testing.assert_array_equal(sums.numpy()[rows.numpy() == 0], [[5.0, 6.0]])
    assert not sums.numpy()[rows.numpy() == 1].any()
