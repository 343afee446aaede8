import time

import numpy as np
import pytest

from dsl_tf.data import load_split
from dsl_tf.data.datasets import demo


@pytest.fixture(scope="module")
def dataset():
    return demo.load(None)


def test_sizes_and_raw_ids(dataset):
    assert dataset.user_ids[[0, -1]].tolist() == ["user-0000", "user-1999"]
    assert dataset.item_ids[[0, -1]].tolist() == ["item-0000", "item-1499"]
    assert len(dataset.train) == 99_819
    assert dataset.test is None


def test_no_duplicates_and_nobody_is_missing(dataset):
    matrix = dataset.train.csr(2_000, 1_500)
    assert matrix.nnz == len(dataset.train)
    assert matrix.getnnz(axis=0).min() >= 1
    assert matrix.getnnz(axis=1).min() == 8


def test_activity_and_popularity_have_long_tails(dataset):
    for rows in (dataset.train.users, dataset.train.items):
        counts = np.sort(np.bincount(rows))[::-1]
        assert counts[: len(counts) // 10].sum() > 0.25 * counts.sum()
        assert counts.mean() > 1.25 * np.median(counts)


def test_the_same_on_every_call_and_quickly(dataset):
    start = time.perf_counter()
    again = demo.load(None)
    assert time.perf_counter() - start < 5
    assert np.array_equal(again.train.items, dataset.train.items)


def test_a_factor_model_beats_popularity_clearly(data_config):
    split = load_split(data_config())
    train = split.train.csr(split.num_users, split.num_items).toarray()
    test = split.test.csr(split.num_users, split.num_items).toarray()

    def recall(scores):
        scores = np.where(train > 0, -np.inf, scores)
        top = np.argpartition(-scores, 20, axis=1)[:, :20]
        hits = np.take_along_axis(test, top, axis=1).sum(axis=1)
        return (hits / np.maximum(test.sum(axis=1), 1)).mean()

    # EASE (Steck, 2019): the item-item model in closed form.
    inverse = np.linalg.inv(train.T @ train + 100 * np.eye(split.num_items))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    popularity = recall(np.broadcast_to(train.sum(axis=0), train.shape))
    assert 0.1 < popularity < 0.25
    assert recall(train @ weights) > 1.5 * popularity
