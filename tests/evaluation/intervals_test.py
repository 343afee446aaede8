import numpy as np
import pytest
import scipy.stats

from dsl_tf.evaluation import intervals


def values(seed: int, n: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).beta(1, 4, n)


def test_agrees_with_scipy():
    sample = values(0)
    low, high = intervals.bootstrap({"recall@20": sample}, seed=0)["recall@20"]
    theirs = scipy.stats.bootstrap(
        (sample,), np.mean, n_resamples=5000, method="percentile", rng=1
    ).confidence_interval
    width = theirs.high - theirs.low
    assert low == pytest.approx(theirs.low, abs=0.1 * width)
    assert high == pytest.approx(theirs.high, abs=0.1 * width)


def test_the_interval_holds_the_truth_about_19_times_of_20():
    held = 0
    for seed in range(200):
        low, high = intervals.bootstrap({"x": values(seed)}, seed)["x"]
        held += low <= 0.2 <= high
    assert 180 <= held <= 199


def test_seeded_and_one_resample_for_all_metrics():
    sample = values(0)
    both = intervals.bootstrap({"a": sample, "b": 2 * sample}, seed=0)
    assert both == intervals.bootstrap({"a": sample, "b": 2 * sample}, seed=0)
    assert both != intervals.bootstrap({"a": sample, "b": 2 * sample}, seed=1)
    np.testing.assert_allclose(both["b"], 2 * np.array(both["a"]))


def test_blocks_of_resamples_only_bound_the_memory(monkeypatch):
    sample = {"x": values(0)}
    whole = intervals.bootstrap(sample, seed=0)
    monkeypatch.setattr(intervals, "_BLOCK", 7 * 400)
    np.testing.assert_allclose(intervals.bootstrap(sample, seed=0)["x"], whole["x"])


def test_a_single_user_has_a_point():
    assert intervals.bootstrap({"x": np.array([0.25])}, 0) == {"x": (0.25, 0.25)}
    assert intervals.bootstrap({}, 0) == {}


def test_what_is_missing_is_not_compared():
    """Nothing is on either side of it, which was taken for a sure difference."""
    sample = values(0)
    other = sample.copy()
    other[3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        intervals.paired_bootstrap(sample, other, 0)


def test_paired_bootstrap_sees_a_small_but_steady_difference():
    base = values(0)
    difference, low, high, p_value = intervals.paired_bootstrap(base + 0.01, base, 0)
    assert (difference, low, high) == pytest.approx((0.01, 0.01, 0.01))
    assert p_value == pytest.approx(2 / 1001)
    # The intervals of the two means overlap: only pairing shows it.
    apart = intervals.bootstrap({"base": base, "better": base + 0.01}, 0)
    assert apart["base"][1] > apart["better"][0]


def test_paired_bootstrap_is_antisymmetric():
    a, b = values(1), values(2)
    forth = intervals.paired_bootstrap(a, b, seed=3)
    back = intervals.paired_bootstrap(b, a, seed=3)
    assert forth == pytest.approx((-back[0], -back[2], -back[1], back[3]))


def test_paired_bootstrap_of_the_same_is_no_difference():
    assert intervals.paired_bootstrap(values(0), values(0), 0) == (0, 0, 0, 1)


def test_p_values_of_equal_models_are_uniform():
    p_values = [
        intervals.paired_bootstrap(values(seed, 200), values(seed + 500, 200), 0)[3]
        for seed in range(200)
    ]
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_paired_bootstrap_needs_the_same_users():
    with pytest.raises(ValueError, match=r"same users.*\(400,\) and \(3,\)"):
        intervals.paired_bootstrap(values(0), values(0, 3), 0)


def test_intervals_are_drawn_when_one_is_read(monkeypatch):
    """A validation is asked for its means only."""
    asked = []
    bootstrap = intervals.bootstrap
    monkeypatch.setattr(
        intervals, "bootstrap", lambda *args: asked.append(args) or bootstrap(*args)
    )
    sample = {"a": values(0), "b": values(1)}
    found = intervals.Intervals(sample, seed=7)
    assert list(found) == ["a", "b"]
    assert len(found) == 2
    assert asked == []
    assert dict(found) == bootstrap(sample, 7) == found
    assert repr(found) == repr(dict(found))
    assert len(asked) == 1


@pytest.mark.parametrize("n", [1, 400, 5000])
def test_pairs_share_their_resamples_and_change_no_number(n):
    first, pairs = values(0, n), [values(seed, n) for seed in range(1, 4)]
    together = intervals.paired_bootstraps([(each, first) for each in pairs], 3)
    assert together == [intervals.paired_bootstrap(each, first, 3) for each in pairs]
    assert intervals.paired_bootstraps([], 3) == []


def test_pairs_of_other_users_are_refused():
    pairs = [(values(0), values(1)), (values(0, 3), values(1, 3))]
    with pytest.raises(ValueError, match="same users"):
        intervals.paired_bootstraps(pairs, 0)
