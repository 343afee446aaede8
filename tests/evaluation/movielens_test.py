"""The evaluator against numbers made by another program, on MovieLens-1M.

The reference digits (popularity .1156 / .1932 / .7967, EASE^R with lambda 500
.2774 / .4180 / .9667; Recall, NDCG, HR at 20) come from plain NumPy.
"""

import gzip
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from dsl_tf.evaluation import protocols, references
from dsl_tf.types import Interactions, RankingResult, Split, empty_interactions

pytestmark = pytest.mark.realdata

METRICS = ("recall@20", "ndcg@20", "hit@20")


def adjacency(path: pathlib.Path) -> Interactions:
    with gzip.open(path, "rt") as lines:
        rows = [np.array(line.split(), np.int32) for line in lines]
    users = np.concatenate([np.full(len(row) - 1, row[0]) for row in rows])
    return Interactions(users, np.concatenate([row[1:] for row in rows]))


@pytest.fixture
def split(data_root: pathlib.Path) -> Split:
    folder = data_root / "ml-1m"
    return Split(
        name="ml-1m",
        user_ids=np.arange(6040).astype(str).astype(object),
        item_ids=np.arange(3706).astype(str).astype(object),
        train=adjacency(folder / "train.txt.gz"),
        validation=empty_interactions(),
        test=adjacency(folder / "test.txt.gz"),
    )


def evaluate(score, split: Split, seed: int = 0) -> RankingResult:
    protocol = protocols.find("full_ranking")
    return protocol.evaluate(score, split, "test", (20,), seed)


def ease(split: Split, strength: float) -> np.ndarray:
    """EASE^R (Steck 2019, algorithm 1): scores, float32 [users, items]."""
    seen = split.train.csr(split.num_users, split.num_items)
    gram = (seen.T @ seen).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += strength
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0.0
    return (seen @ weights).astype(np.float32)


def test_ease(split):
    scores = tf.constant(ease(split, 500.0))
    mean = evaluate(lambda users: tf.gather(scores, users), split).mean
    assert [round(mean[name], 4) for name in METRICS] == [0.2774, 0.4180, 0.9667]
    assert mean["tied_users@20"] == 0


def test_popularity(split):
    """5 % of the users have a tie at rank 20, so tie breaking shows in .0001.

    The reference broke ties user by user, as an unstable sort falls: its HR
    needs item 287 before 2511 for one user and after it for another, which no
    single order of the items gives (see `test_popularity_with_its_ties`).
    """
    popularity = references.popularity_scores(split.train, split.num_items)
    result = evaluate(references.same_for_all(popularity), split)
    measured = [round(result.mean[name], 4) for name in METRICS]
    assert measured == [0.1156, 0.1932, 0.7965]
    assert result.mean["tied_users@20"] == pytest.approx(0.0517, abs=5e-5)


def test_popularity_with_its_ties(split):
    """What ties at rank 20 can make of it holds the reference's digits."""
    popularity = references.popularity_scores(split.train, split.num_items)
    base = tf.constant(popularity)
    liked = tf.constant(split.test.csr(split.num_users, split.num_items).toarray())
    bounds = []
    for luck in (-0.5, 0.5):  # moves held-out items within their ties only

        def score(users, luck=luck):
            return base + luck * tf.gather(liked, users)

        bounds.append([evaluate(score, split).mean[name] for name in METRICS])
    low, high = np.round(bounds, 4)
    reference = [0.1156, 0.1932, 0.7967]
    assert np.all((low <= reference) & (reference <= high))
    assert [low[0], high[0]] == [0.1154, 0.1159]
    assert [low[2], high[2]] == [0.7964, 0.7967]
