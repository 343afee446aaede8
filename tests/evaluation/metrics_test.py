import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import ndcg_score

from dsl_tf.evaluation import metrics
from dsl_tf.types import Interactions

# Rows: no hit; hits at ranks 1 and 3 of 2 held out; a hit at rank 4 of 6; all
# of the top are hits and more are held out than the list is long.
HITS = np.array(
    [
        [0, 0, 0, 0],
        [1, 0, 1, 0],
        [0, 0, 0, 1],
        [1, 1, 1, 1],
    ],
    bool,
)
HELD_OUT = np.array([3, 2, 6, 8])
LOG3, LOG5 = np.log2(3.0), np.log2(5.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall@2", [0, 1 / 2, 0, 2 / 8]),
        ("recall@4", [0, 1, 1 / 6, 4 / 8]),
        ("recall_capped@2", [0, 1 / 2, 0, 1]),
        ("recall_capped@4", [0, 1, 1 / 4, 1]),
        ("precision@2", [0, 1 / 2, 0, 1]),
        ("precision@4", [0, 2 / 4, 1 / 4, 1]),
        ("hit@2", [0, 1, 0, 1]),
        ("hit@4", [0, 1, 1, 1]),
        ("mrr@2", [0, 1, 0, 1]),
        ("mrr@4", [0, 1, 1 / 4, 1]),
        ("ndcg@2", [0, 1 / (1 + 1 / LOG3), 0, 1]),
        (
            "ndcg@4",
            [
                0,
                (1 + 1 / 2) / (1 + 1 / LOG3),
                (1 / LOG5) / (1 + 1 / LOG3 + 1 / 2 + 1 / LOG5),
                1,
            ],
        ),
    ],
)
def test_hand_worked_values(name, expected):
    values = metrics.per_user(HITS, HELD_OUT, (2, 4))[name]
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, expected, rtol=1e-15)


def test_hits_are_pairs_and_a_missing_item_never_hits():
    held_out = Interactions(np.array([0, 2, 2], np.int32), np.array([4, 0, 3], "i4"))
    # User 1 has no held-out item 4; user 3's "-1" is not item 4 of user 2.
    items = np.array([[4, 0], [4, -1], [3, 0], [-1, 2]], np.int32)
    found = metrics.hits(np.arange(4, dtype=np.int32), items, held_out, 5)
    np.testing.assert_array_equal(found, [[1, 0], [0, 0], [1, 1], [0, 0]])


def test_coverage_counts_items_once_and_no_missing_ones():
    items = np.array([[0, 1, 7], [1, 0, 6], [2, -1, -1]])
    assert metrics.coverage(items, 1, 10) == pytest.approx(0.3)
    assert metrics.coverage(items, 2, 10) == pytest.approx(0.3)
    assert metrics.coverage(items, 3, 10) == pytest.approx(0.5)


@st.composite
def rankings(draw):
    """Hits of up to 6 users in a top 8, and how many items they hold out."""
    found = draw(hnp.arrays(bool, st.tuples(st.integers(1, 6), st.just(8))))
    missed = draw(hnp.arrays(np.int64, len(found), elements=st.integers(0, 20)))
    return found, np.maximum(found.sum(axis=1) + missed, 1)


@given(rankings(), st.integers(1, 8))
def test_metrics_lie_between_zero_and_one(ranking, cutoff):
    for name, values in metrics.per_user(*ranking, (cutoff,)).items():
        assert np.all((values >= 0) & (values <= 1 + 1e-12)), name


@given(st.integers(1, 20), st.integers(1, 8))
def test_a_perfect_ranking_gives_one(held_out, cutoff):
    found = np.arange(8)[None, :] < held_out
    values = metrics.per_user(found, np.array([held_out]), (cutoff,))
    for name in ("ndcg", "hit", "mrr", "recall_capped"):
        assert values[f"{name}@{cutoff}"] == pytest.approx(1)
    assert values[f"recall@{cutoff}"] == pytest.approx(min(1, cutoff / held_out))


@given(rankings())
def test_recall_and_hit_never_fall_with_the_cutoff(ranking):
    values = metrics.per_user(*ranking, tuple(range(1, 9)))
    for name in ("recall", "hit", "mrr"):
        by_cutoff = np.stack([values[f"{name}@{cutoff}"] for cutoff in range(1, 9)])
        assert np.all(np.diff(by_cutoff, axis=0) >= 0)


def random_problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relevance and distinct scores [50, 40], and the hits in order of score."""
    rng = np.random.default_rng(seed)
    relevance = rng.random((50, 40)) < 0.2
    relevance[:, 0] |= ~relevance.any(axis=1)
    scores = rng.permuted(np.tile(np.arange(40.0), (50, 1)), axis=1)
    ranked = np.take_along_axis(relevance, np.argsort(-scores, axis=1), axis=1)
    return relevance, scores, ranked


@pytest.mark.parametrize("cutoff", [1, 5, 20, 40])
def test_ndcg_agrees_with_scikit_learn(cutoff):
    relevance, scores, ranked = random_problem(seed=cutoff)
    ours = metrics.ndcg(ranked, relevance.sum(axis=1), cutoff)
    assert ours.mean() == pytest.approx(ndcg_score(relevance, scores, k=cutoff))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # numba's, about ranx's own code
def test_metrics_agree_with_ranx():
    import ranx  # compiles its metrics with numba, for about a minute

    relevance, scores, ranked = random_problem(seed=0)
    users, items = np.nonzero(relevance)
    qrels: dict[str, dict[str, int]] = {}
    for user, item in zip(users, items, strict=True):
        qrels.setdefault(str(user), {})[str(item)] = 1
    run = {
        str(user): {str(item): float(score) for item, score in enumerate(row)}
        for user, row in enumerate(scores)
    }
    theirs = ["recall@5", "ndcg@5", "hit_rate@5", "precision@5", "mrr@5"]
    expected = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), theirs)
    ours = metrics.per_user(ranked, relevance.sum(axis=1), (5,))
    for name in theirs:
        values = ours[name.replace("hit_rate", "hit")]
        assert values.mean() == pytest.approx(expected[name]), name
