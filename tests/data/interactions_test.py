import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsl_tf.data import interactions as steps
from dsl_tf.errors import UserError
from dsl_tf.types import Interactions

PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1)


def as_pairs(interactions):
    return list(
        zip(interactions.users.tolist(), interactions.items.tolist(), strict=True)
    )


def test_unique_pairs_keeps_the_latest_then_the_highest(make_interactions):
    rows = [(1, 0, 5, 10), (0, 2, 3, 7), (1, 0, 1, 20), (0, 2, 4, 7), (0, 1, 2, 1)]
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 3, 0, 4, 1]):
        unique = steps.unique_pairs(make_interactions(*(rows[i] for i in order)), 3)
        assert as_pairs(unique) == [(0, 1), (0, 2), (1, 0)]
        assert unique.ratings.tolist() == [2, 4, 1]
        assert unique.times.tolist() == [1, 7, 20]


@given(PAIRS, PAIRS)
def test_without_is_the_set_difference(one, other):
    def sorted_pairs(pairs):
        users, items = np.array(pairs, np.int32).T
        return steps.unique_pairs(Interactions(users, items), 8)

    left = steps.without(sorted_pairs(one), sorted_pairs(other), 8)
    assert as_pairs(left) == sorted(set(one) - set(other))


@given(PAIRS, st.integers(1, 4))
def test_core_is_the_largest_set_with_k_each(pairs, k):
    users, items = np.array(sorted(set(pairs))).T
    left = set(zip(users.tolist(), items.tolist(), strict=True))
    while True:  # the definition, one pair after the other
        weak = {
            (u, i)
            for u, i in left
            if sum(v == u for v, _ in left) < k or sum(j == i for _, j in left) < k
        }
        if not weak:
            break
        left.discard(min(weak))
    mask = steps.core_mask(users, items, k)
    assert set(zip(users[mask].tolist(), items[mask].tolist(), strict=True)) == left


def test_keep_core_looks_at_all_parts_together(make_interactions, make_dataset):
    # User 0 has two items in train and one in test; item 2 has one user.
    dataset = make_dataset(
        make_interactions((0, 0), (0, 1), (1, 0), (1, 2)),
        make_interactions((0, 3), (1, 1)),
    )
    kept = steps.keep_core(dataset, 2)
    assert as_pairs(kept.train) == [(0, 0), (0, 1), (1, 0)]
    assert as_pairs(kept.test) == [(1, 1)]


def test_keep_core_with_an_empty_validation_part(make_interactions, make_dataset):
    train = make_interactions((0, 0), (1, 0), (0, 1), (1, 1))
    nothing = train.take(np.zeros(4, bool))
    kept = steps.keep_core(make_dataset(train, make_interactions((0, 2))), 2)
    assert len(kept.train) == 4
    assert not len(kept.test)
    dataset = make_dataset(train, make_interactions((0, 2), (1, 2)))
    dataset = steps.dataclasses.replace(dataset, validation=nothing)
    assert as_pairs(steps.keep_core(dataset, 2).test) == [(0, 2), (1, 2)]


def test_nothing_left_is_one_line(make_interactions, make_dataset):
    dataset = make_dataset(make_interactions((0, 0, 3.0), (1, 1, 2.0)))
    with pytest.raises(UserError, match=r"`data.k_core` must leave.*k_core=2"):
        steps.keep_core(dataset, 2)
    with pytest.raises(UserError, match=r"`data.min_rating` must leave.*=4"):
        steps.keep_rated(dataset, 4.0)


def test_keep_rated_holds_for_every_part(make_interactions, make_dataset):
    dataset = make_dataset(
        make_interactions((0, 0, 4), (0, 1, 3.5)), make_interactions((1, 1, 1))
    )
    kept = steps.keep_rated(dataset, 3.6)
    assert as_pairs(kept.train) == [(0, 0)]
    assert not len(kept.test)
    assert steps.keep_rated(dataset, 0.0) is dataset
    with pytest.raises(UserError, match="source with ratings"):
        steps.keep_rated(make_dataset(make_interactions((0, 0))), 1.0)


def test_merge_duplicates_is_counted(make_interactions, make_dataset):
    dataset = make_dataset(
        make_interactions((1, 1), (0, 0), (1, 1)), make_interactions((0, 1), (0, 1))
    )
    merged = steps.merge_duplicates(dataset)
    assert as_pairs(merged.train) == [(0, 0), (1, 1)]
    assert as_pairs(merged.test) == [(0, 1)]
    assert merged.warnings == ("2 duplicate interactions were merged.",)


def test_compact_renumbers_and_keeps_raw_ids(make_interactions, make_dataset):
    dataset = make_dataset(
        make_interactions((0, 1), (4, 3)),
        make_interactions((2, 1)),
        candidates=np.zeros((5, 2), np.int32),
    )
    compact = steps.compact(dataset)
    assert compact.user_ids.tolist() == ["0", "2", "4"]
    assert compact.item_ids.tolist() == ["1", "3"]
    assert as_pairs(compact.train) == [(0, 0), (2, 1)]
    assert as_pairs(compact.test) == [(1, 0)]
    assert compact.train.users.dtype == np.int32
    assert compact.candidates is None
