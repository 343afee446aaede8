import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsl_tf.errors import UserError
from dsl_tf.sparsity.schedule import Constant, Cosine, Linear, Never, from_config

KINDS = (Cosine, Linear, Constant)


@pytest.mark.parametrize(
    ("kind", "quarter", "half", "last"),
    [
        (Cosine, 0.2 * (2 + math.sqrt(2)), 0.4, 0.4 * (1 - math.cos(math.pi / 100))),
        (Linear, 0.6, 0.4, 0.008),
        (Constant, 0.8, 0.8, 0.8),
    ],
)
def test_update_ratios(kind, quarter, half, last):
    """ρ_0 = 0.8, ΔT = 10, T_end = 1000."""
    schedule = kind(0.8, 10, 1000)
    assert schedule(0) == 0.0  # no step was taken yet
    assert schedule(250) == pytest.approx(quarter, abs=1e-12)
    assert schedule(500) == pytest.approx(half, abs=1e-12)
    assert schedule(990) == pytest.approx(last, abs=1e-12)
    assert schedule(255) == 0.0
    assert schedule(1000) == 0.0
    assert schedule(1010) == 0.0


def test_decay_at_the_ends():
    for kind, end in ((Cosine, 0.0), (Linear, 0.0), (Constant, 1.0)):
        schedule = kind(0.5, 10, 100)
        assert (schedule.decay(0.0), schedule.decay(1.0)) == (1.0, end)


def test_never():
    assert [Never()(step) for step in range(5)] == [0.0] * 5
    assert Never().next_exploration(3) is None


@given(
    st.sampled_from(KINDS), st.integers(1, 20), st.integers(2, 200), st.integers(0, 220)
)
def test_next_exploration_is_the_first_with_a_ratio(kind, interval, end, step):
    if interval >= end:
        return
    schedule = kind(0.5, interval, end)
    due = [later for later in range(step + 1, end + 1) if schedule(later) > 0]
    assert schedule.next_exploration(step) == (due[0] if due else None)


@pytest.mark.parametrize("kind", [*KINDS, Never])
def test_json_round_trip(kind):
    schedule = Never() if kind is Never else kind(0.3, 7, 90)
    assert from_config(json.loads(json.dumps(schedule.get_config()))) == schedule


@pytest.mark.parametrize(
    "changed", [{"initial_update_ratio": 0.0}, {"update_interval": math.inf}]
)
def test_nothing_to_exchange_is_the_schedule_none(changed):
    config = {**Cosine(0.3, 7, 90).get_config(), **changed}
    assert from_config(config) == Never()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((1.1, 10, 100), r"in \[0, 1\]\. Received: initial_update_ratio=1\.1\."),
        ((-0.1, 10, 100), "initial_update_ratio"),
        ((math.nan, 10, 100), "initial_update_ratio"),
        ((0.5, 0, 100), "Received: update_interval=0"),
        ((0.5, 2.5, 100), "Received: update_interval=2.5"),
        ((0.5, 100, 100), "no exploration ever comes"),
    ],
)
def test_errors_name_rule_and_value(settings, message):
    with pytest.raises(UserError, match=message):
        Cosine(*settings)


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(UserError, match="cosine, linear, constant, none"):
        from_config({"name": "cosin"})


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cosine(0.5, 10, 100).end_step = 3
