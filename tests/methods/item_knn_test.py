import numpy as np
import pytest
import rich.console

from dsl_tf.errors import UserError
from dsl_tf.methods import base, item_knn


@pytest.mark.parametrize("shrinkage", [0.0, 5.0])
def test_similarities_by_hand(small_split, monkeypatch, shrinkage):
    monkeypatch.setattr(item_knn, "_ITEMS_AT_ONCE", 150)
    found = item_knn.similarities(small_split, 10, shrinkage).toarray()
    x = small_split.train.csr(small_split.num_users, small_split.num_items).toarray()
    both = x.T @ x.astype(float)
    norm = np.sqrt(np.diag(both))
    expected = both / np.maximum(np.outer(norm, norm) + shrinkage, 1e-12)
    np.fill_diagonal(expected, 0)
    for item in (0, 200, 399):
        column = expected[:, item]
        kept = np.argsort(-column, kind="stable")[:10]
        kept = kept[column[kept] > 0]
        np.testing.assert_array_equal(np.flatnonzero(found[:, item]), np.sort(kept))
        np.testing.assert_allclose(found[kept, item], column[kept], rtol=1e-5)


def test_scores_are_sums_over_the_history(small_config, small_split, tmp_path):
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    small_config.method.item_knn.neighbours = 5
    trained = base.train(task, small_config, item_knn.train)
    matrix = item_knn.similarities(small_split, 5, 0.0)
    x = small_split.train.csr(small_split.num_users, small_split.num_items)
    scores = trained.model.score({"user_id": np.array([3, 77])}).numpy()
    np.testing.assert_allclose(scores, (x[[3, 77]] @ matrix).toarray(), rtol=1e-5)
    # A fixed number of neighbours, many fewer bytes than items times items.
    assert trained.passes[0].cost.state_bytes < 4 * small_split.num_items**2 / 10
    again = base.restore(task, small_config, item_knn.train)
    assert again.validated == trained.validated


def test_keys_out_of_range(small_config, small_split, tmp_path):
    task = base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))
    small_config.method.item_knn.shrinkage = -1.0
    with pytest.raises(UserError, match=r"`method.item_knn\.shrinkage` must be"):
        base.train(task, small_config, item_knn.train)
