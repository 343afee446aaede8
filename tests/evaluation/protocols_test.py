import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl_tf.errors import UserError
from dsl_tf.evaluation import candidates, intervals, protocols, ranking


def scorer(scores) -> ranking.Score:
    table = tf.constant(scores, tf.float32)
    return lambda users: tf.gather(table, users)


@pytest.mark.parametrize(
    "name",
    [
        "full_ranking",
        "full_ranking(users=1000)",
        "leave_one_out_sampled",
        "strong_generalization",
    ],
)
def test_find_by_name(name):
    assert protocols.find(name).name == name


@pytest.mark.parametrize(
    "name", ["full_rank", "full_ranking(users=0)", "full_ranking(users=x)", ""]
)
def test_a_misspelt_protocol_lists_those_that_exist(name):
    with pytest.raises(
        UserError, match=r"full_ranking, .*strong_generalization\."
    ) as e:
        protocols.find(name)
    assert repr(name) in str(e.value)
    assert "\n" not in str(e.value)


@pytest.fixture
def small(make_split):
    """Five items; user 2 has no training item, user 3 nothing held out."""
    return make_split(
        5,
        train=[[0], [1], [], [2]],
        validation=[[1], [], [], []],
        test=[[2, 3], [0], [4], []],
    )


DESCENDING = np.tile([5.0, 4, 3, 2, 1], (4, 1))


def test_testing_masks_training_and_validation(small):
    result = protocols.find("full_ranking").evaluate(
        scorer(DESCENDING), small, "test", (1, 2), seed=0
    )
    assert result.protocol == "full_ranking"
    np.testing.assert_array_equal(result.users, [0, 1])
    assert result.left_out == 1
    # User 0 gets [2, 3], user 1 gets [0, 2].
    np.testing.assert_array_equal(result.per_user["recall@1"], [0.5, 1])
    np.testing.assert_array_equal(result.per_user["recall@2"], [1, 1])
    np.testing.assert_array_equal(result.per_user["precision@2"], [1, 0.5])
    assert result.mean["recall@1"] == 0.75
    assert result.mean["coverage@1"] == 2 / 5
    assert result.mean["coverage@2"] == 3 / 5
    assert result.mean["tied_users@1"] == 0
    low, high = result.ci95["recall@1"]
    assert 0.5 <= low <= 0.75 <= high <= 1
    assert set(result.ci95) == set(result.per_user)


def test_validating_masks_training_only(small):
    result = protocols.find("full_ranking").evaluate(
        scorer(DESCENDING[:, ::-1]), small, "validation", (3, 4), seed=0
    )
    # User 0 gets [4, 3, 2, 1]: the test items 3 and 2 stay in, as unknown.
    np.testing.assert_array_equal(result.users, [0])
    assert result.mean["recall@3"] == 0
    assert result.mean["recall@4"] == 1
    assert result.mean["mrr@4"] == 0.25


def test_tied_users_are_reported(small):
    scores = [[0, 0, 2, 2, 1], [0, 0, 3, 2, 1], [0] * 5, [0] * 5]
    mean = (
        protocols.find("full_ranking")
        .evaluate(scorer(scores), small, "test", (1,), seed=0)
        .mean
    )
    assert mean["tied_users@1"] == 0.5


def test_a_part_without_users_is_refused(small, make_split):
    with pytest.raises(UserError, match="validation part must have a user"):
        protocols.find("full_ranking").evaluate(
            scorer(DESCENDING),
            make_split(5, train=[[0]], test=[[1]]),
            "validation",
            (2,),
            seed=0,
        )


@pytest.mark.parametrize("cutoffs", [(), (0,), (20, -1)])
@pytest.mark.parametrize("name", ["full_ranking", "leave_one_out_sampled"])
def test_bad_cutoffs_are_refused(small, name, cutoffs):
    with pytest.raises(UserError, match=r"cutoffs.*Received"):
        protocols.find(name).evaluate(
            scorer(DESCENDING), small, "test", cutoffs, seed=0
        )


def random_lists(rng, num_users, num_items):
    """Disjoint train, validation and test items; some users lack some."""
    part = rng.choice(4, p=[0.6, 0.2, 0.1, 0.1], size=(num_users, num_items))
    part[0, :2] = (1, 3)
    return [[np.flatnonzero(row == p) for row in part] for p in (1, 2, 3)]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("name", ["full_ranking", "leave_one_out_sampled"])
def test_the_order_of_users_changes_nothing(make_split, name, seed):
    rng = np.random.default_rng(seed)
    train, validation, test = random_lists(rng, 12, 30)
    scores = rng.integers(8, size=(12, 30)).astype(np.float32)
    negatives = rng.integers(30, size=(12, 9)).astype(np.int32)
    shuffled = rng.permutation(12)

    def evaluate(order):
        split = make_split(
            30,
            [train[u] for u in order],
            [test[u] for u in order],
            [validation[u] for u in order],
            negatives[order],
        )
        return protocols.find(name).evaluate(
            scorer(scores[order]), split, "test", (1, 5), seed=0
        )

    first, second = evaluate(np.arange(12)), evaluate(shuffled)
    assert first.mean == pytest.approx(second.mean)
    assert first.left_out == second.left_out
    for metric, values in second.per_user.items():
        by_user = dict(zip(shuffled[second.users], values, strict=True))
        expected = dict(zip(first.users, first.per_user[metric], strict=True))
        assert by_user == pytest.approx(expected), metric


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("part", ["validation", "test"])
def test_an_oracle_is_perfect_although_it_likes_known_items_best(
    make_split, part, seed
):
    rng = np.random.default_rng(seed)
    train, validation, test = random_lists(rng, 12, 30)
    validation[0] = validation[0] if len(validation[0]) else np.array([2])
    train[0], test[0] = (np.setdiff1d(x[0], validation[0]) for x in (train, test))
    split = make_split(30, train, test, validation)
    scores = 10.0 * split.train.csr(12, 30).toarray()
    if part == "test":
        scores += 10.0 * split.validation.csr(12, 30).toarray()
    scores += getattr(split, part).csr(12, 30).toarray()
    mean = (
        protocols.find("full_ranking")
        .evaluate(scorer(scores), split, part, (3,), seed=0)
        .mean
    )
    for metric in ("ndcg@3", "hit@3", "mrr@3", "recall_capped@3"):
        assert mean[metric] == pytest.approx(1), metric


def test_seeded_users(make_split):
    rng = np.random.default_rng(0)
    split = make_split(9, [[0]] * 40, [[1]] * 40)
    score = scorer(rng.random((40, 9)))

    def evaluate(name, seed):
        return protocols.find(name).evaluate(score, split, "test", (3,), seed)

    everyone = evaluate("full_ranking", 0)
    some = evaluate("full_ranking(users=10)", 0)
    assert some.protocol == "full_ranking(users=10)"
    assert len(np.unique(some.users)) == 10
    np.testing.assert_array_equal(
        some.users, evaluate("full_ranking(users=10)", 0).users
    )
    assert np.any(some.users != evaluate("full_ranking(users=10)", 1).users)
    np.testing.assert_array_equal(
        some.per_user["ndcg@3"], everyone.per_user["ndcg@3"][some.users]
    )
    np.testing.assert_array_equal(
        evaluate("full_ranking(users=99)", 0).users, np.arange(40)
    )


def test_leave_one_out_with_the_splits_own_candidates(make_split):
    split = make_split(
        6,
        train=[[0], [0], []],
        test=[[1], [1], [1]],
        candidates=np.array([[2, 3, 4], [3, 4, 1], [2, 3, 4]], np.int32),
    )
    # Item 5 would win, but is no candidate; user 2 has no training item.
    scores = [[0, 5, 7, 6, 1, 9], [0, 5, 7, 6, 1, 9], [0] * 6]
    result = protocols.find("leave_one_out_sampled").evaluate(
        scorer(scores), split, "test", (1, 2, 10), seed=0
    )
    np.testing.assert_array_equal(result.users, [0, 1])
    assert result.left_out == 1
    np.testing.assert_array_equal(result.per_user["hit@1"], [0, 0])
    np.testing.assert_array_equal(result.per_user["hit@2"], [0, 1])
    np.testing.assert_array_equal(result.per_user["hit@10"], [1, 1])
    np.testing.assert_allclose(
        result.per_user["ndcg@10"], [1 / np.log2(4), 1 / np.log2(3)]
    )
    assert "coverage@10" not in result.mean
    assert result.mean["tied_users@10"] == 0


def test_leave_one_out_draws_negatives_that_are_no_positives(make_split):
    """200 items: 100 known, so all of the 99 others are the negatives."""
    known = np.arange(100)
    split = make_split(200, [known[:50]], [[100]], [known[50:]])
    scores = np.where(np.arange(200) < 100, 9.0, np.arange(200) / 200)[None]
    evaluate = protocols.find("leave_one_out_sampled").evaluate
    mean = evaluate(scorer(scores), split, "test", (99, 100), seed=0).mean
    assert (mean["hit@99"], mean["hit@100"]) == (0, 1)
    mean = evaluate(scorer(-scores), split, "test", (1,), seed=0).mean
    assert mean["hit@1"] == 1


def test_leave_one_out_validates_without_knowing_the_test_part(make_split):
    split = make_split(40, [[0, 1]], [[2]], [[3, 4]], np.array([[5, 6]], np.int32))
    changed = dataclasses.replace(
        make_split(40, [[0, 1]], [[7]], [[3, 4]], np.array([[8, 9]], np.int32)),
        name="changed",
    )
    score = scorer(np.random.default_rng(0).random((1, 40)))
    for name in ("full_ranking", "leave_one_out_sampled"):
        evaluate = protocols.find(name).evaluate
        first = evaluate(score, split, "validation", (3,), seed=0)
        assert first.mean == evaluate(score, changed, "validation", (3,), seed=0).mean


def test_leave_one_out_takes_the_mean_of_several_held_out_items(make_split):
    split = make_split(5, [[0]], [[1, 2]], candidates=np.array([[3]], np.int32))
    result = protocols.find("leave_one_out_sampled").evaluate(
        scorer([[0, 3, 1, 2, 0]]), split, "test", (1,), seed=0
    )
    np.testing.assert_array_equal(result.per_user["hit@1"], [0.5])


@pytest.mark.parametrize("name", ["full_ranking", "leave_one_out_sampled"])
def test_runs_are_repeatable(make_split, name):
    rng = np.random.default_rng(0)
    train, validation, test = random_lists(rng, 20, 150)
    split = make_split(150, train, test, validation)
    score = scorer(rng.integers(6, size=(20, 150)))
    evaluate = protocols.find(name).evaluate
    first = evaluate(score, split, "test", (5, 20), seed=0)
    second = evaluate(score, split, "test", (5, 20), seed=0)
    assert (first.mean, first.ci95) == (second.mean, second.ci95)
    assert first.mean != evaluate(score, split, "test", (5, 20), seed=1).mean


@pytest.mark.parametrize("name", ["full_ranking", "leave_one_out_sampled"])
def test_means_alone_draw_no_resample(small, monkeypatch, name):
    def evaluate():
        score = scorer(DESCENDING)
        return protocols.find(name).evaluate(score, small, "test", (1,), seed=0)

    expected = dict(evaluate().ci95)
    with monkeypatch.context() as patch:
        patch.setattr(intervals, "bootstrap", lambda *_: pytest.fail("drew"))
        result = evaluate()
        assert result.mean["hit@1"] >= 0
    assert dict(result.ci95) == expected


def test_negatives_are_drawn_once_for_a_part_a_seed_and_a_split(
    make_split, monkeypatch
):
    rng = np.random.default_rng(0)
    train, validation, test = random_lists(rng, 20, 150)
    first = make_split(150, train, test, validation)
    second = make_split(150, test, train, validation)
    score = scorer(rng.random((20, 150)))
    asked = [(first, "test", 0), (first, "validation", 0), (first, "test", 1)]
    asked += [(second, "test", 1), (second, "validation", 1)]

    def evaluate(protocol, split, part, seed):
        return protocol.evaluate(score, split, part, (5,), seed).mean

    def fresh():
        return protocols.find("leave_one_out_sampled")

    expected = [evaluate(fresh(), *each) for each in asked]
    draw, drawn = candidates.draw_negatives, []
    monkeypatch.setattr(
        candidates, "draw_negatives", lambda *args: drawn.append(args) or draw(*args)
    )
    protocol = fresh()
    found = [(evaluate(protocol, *a), evaluate(protocol, *a)) for a in asked]
    assert found == [(each, each) for each in expected]
    assert len(drawn) == len(asked)
    assert protocol == fresh()


@pytest.fixture
def held_out(make_split):
    """Six items; users 0 and 1 train, 2 and 4 test, 3 validates, 5 has one item."""
    return make_split(
        6,
        train=[[0, 1], [1, 2], [], [], [], []],
        fold_in=[[], [], [0, 1], [5], [2], [3]],
        validation=[[], [], [], [4], [], []],
        test=[[], [], [2, 3], [], [5], []],
    )


STRONG = protocols.find("strong_generalization")


def by_history(split):
    """Half a point for each item known, so known ones come first, then by id."""
    query = STRONG.query(split)

    def score(users):
        history = query(users)["history"]
        known = tf.reduce_sum(tf.one_hot(history, split.num_items), axis=1)
        return 0.5 * known - tf.range(split.num_items, dtype=tf.float32) / 100

    return score


def test_held_out_users_are_asked_by_their_fold_in(held_out):
    query = STRONG.query(held_out)(tf.constant([4, 2, 0, 5], tf.int32))
    assert set(query) == {"history"}
    assert query["history"].to_list() == [[2], [0, 1], [0, 1], [3]]


def test_fold_in_is_not_ranked_and_the_rest_is_to_be_found(held_out):
    result = STRONG.evaluate(by_history(held_out), held_out, "test", (1, 2), seed=0)
    assert result.protocol == "strong_generalization"
    assert "row" in result.note
    np.testing.assert_array_equal(result.users, [2, 4])
    assert result.left_out == 0
    # User 2 gets [2, 3], user 4 gets [0, 1].
    np.testing.assert_array_equal(result.per_user["recall@1"], [0.5, 0])
    np.testing.assert_array_equal(result.per_user["recall_capped@1"], [1, 0])
    np.testing.assert_array_equal(result.per_user["recall@2"], [1, 0])


def test_validation_users_are_others(held_out):
    evaluate = STRONG.evaluate
    result = evaluate(by_history(held_out), held_out, "validation", (4, 5), seed=0)
    # User 3 gets [0, 1, 2, 3, 4], without the fold-in 5.
    np.testing.assert_array_equal(result.users, [3])
    assert (result.mean["hit@4"], result.mean["hit@5"]) == (0, 1)
    # A test user's items change nothing.
    changed = dataclasses.replace(held_out, test=held_out.test.take(np.array([0])))
    again = evaluate(by_history(changed), changed, "validation", (4, 5), seed=0)
    assert again.mean == result.mean


def test_users_without_fold_in_are_left_out(held_out):
    """An item or two may have left the vocabulary."""
    split = dataclasses.replace(
        held_out, fold_in=held_out.fold_in.take(held_out.fold_in.users != 4)
    )
    result = STRONG.evaluate(by_history(split), split, "test", (1,), seed=0)
    np.testing.assert_array_equal(result.users, [2])
    assert result.left_out == 1


@pytest.mark.parametrize("name", ["full_ranking(users=9)", "leave_one_out_sampled"])
def test_users_held_out_need_their_protocol(held_out, name):
    protocol = protocols.find(name)
    with pytest.raises(UserError, match="must be strong_generalization where") as e:
        protocol.check(held_out)
    assert repr(name) in str(e.value)
    with pytest.raises(UserError, match="must be strong_generalization where"):
        protocol.evaluate(scorer(np.zeros((6, 6))), held_out, "test", (1,), seed=0)


def test_the_protocol_needs_users_held_out(small):
    with pytest.raises(UserError, match=r"needs held-out users.*'given'"):
        STRONG.check(small)
    with pytest.raises(UserError, match="needs held-out users"):
        STRONG.evaluate(scorer(DESCENDING), small, "test", (1,), seed=0)


@pytest.mark.parametrize("name", ["full_ranking", "leave_one_out_sampled"])
def test_users_trained_on_are_asked_by_their_number(small, name):
    protocol = protocols.find(name)
    protocol.check(small)
    assert protocol.note == ""
    query = protocol.query(small)(tf.constant([3, 1]))
    assert {key: value.numpy().tolist() for key, value in query.items()} == {
        "user_id": [3, 1]
    }
