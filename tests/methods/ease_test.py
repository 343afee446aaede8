import dataclasses

import numpy as np
import pytest
import rich.console

from dsl_tf.errors import UserError
from dsl_tf.methods import base, ease


@pytest.fixture
def task(small_split, tmp_path):
    return base.Task(small_split, 0, tmp_path, rich.console.Console(quiet=True))


def test_the_constrained_least_squares_column_by_column(small_split):
    """Each column is a ridge regression on all the other items (Steck, sec. 2)."""
    found = ease.weights(small_split, 40.0)
    x = small_split.train.csr(small_split.num_users, small_split.num_items)
    x = x.toarray().astype(np.float64)
    assert not np.diag(found).any()
    for item in (0, 17, 399):
        others = np.arange(small_split.num_items) != item
        gram = x[:, others].T @ x[:, others] + 40.0 * np.eye(others.sum())
        column = np.linalg.solve(gram, x[:, others].T @ x[:, item])
        np.testing.assert_allclose(found[others, item], column, rtol=1e-3, atol=1e-5)


def test_scores_and_choice(small_config, small_split, task):
    small_config.method.name = "ease"
    trained = base.train(task, small_config, ease.train)
    weights = ease.weights(small_split, 40.0)
    small_config.method.ease.regularization = 40.0
    fixed = base.train(task, small_config, ease.train).model
    x = small_split.train.csr(small_split.num_users, small_split.num_items).toarray()
    scores = fixed.score({"user_id": np.array([3, 77])}).numpy()
    np.testing.assert_allclose(scores, x[[3, 77]] @ weights, rtol=1e-3, atol=1e-5)
    assert trained.validated["recall@20"] > 0
    assert trained.passes[1].cost.macs.total > small_split.num_items**3
    assert [each.name for each in trained.passes] == ["choose_regularization", "select"]
    choice, solution = (each.cost.macs.total for each in trained.passes)
    assert choice == 5 * solution
    assert trained.passes[1].cost.state_bytes == 4 * small_split.num_items**2


def test_a_catalogue_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"12000\.0 GB. Received: 1,000,000 items"):
        ease.check_memory(1_000_000)


def test_too_small_a_regularization_is_one_line(small_config, small_split, tmp_path):
    """It was a LinAlgError: twenty users have no more than twenty directions."""
    few = small_split.train.take(small_split.train.users < 20)
    split = dataclasses.replace(small_split, train=few)
    small_config.method.ease.regularization = 1e-9
    task = base.Task(split, 0, tmp_path, rich.console.Console(quiet=True))
    with pytest.raises(UserError, match=r"ease.regularization` must .*d: 1e-09\.$"):
        base.train(task, small_config, ease.train)
