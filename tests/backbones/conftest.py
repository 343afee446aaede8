import numpy as np
import pytest

from dsl_tf import streams
from dsl_tf.layers.tables import DenseTables, SparseTables
from dsl_tf.types import Interactions, Split, empty_interactions


@pytest.fixture
def make_tables():
    """Table factories for 5 users and 7 items, dense or of some sparsity."""

    def make(sparsity=None, seed=0):
        if sparsity is None:
            return DenseTables(5, 7)
        rng = streams.generator(seed, "use")
        return SparseTables(
            activity=rng.integers(1, 9, 5),
            popularity=rng.integers(1, 9, 7),
            sparsity=sparsity,
            storage="packed",
            joint=True,
            seed=seed,
        )

    return make


#: Items of five users; user 3 has none, and item 6 of seven no user.
HISTORIES = [[0, 2, 3], [1], [0, 1, 4, 5], [], [2, 5]]


@pytest.fixture
def split():
    """The histories as training; tests of graphs bring a split of their own."""
    pairs = [(user, item) for user, items in enumerate(HISTORIES) for item in items]
    users, items = np.array(pairs, np.int32).T
    nothing = empty_interactions()
    return Split(
        "tiny", np.arange(5), np.arange(7), Interactions(users, items), nothing, nothing
    )


@pytest.fixture
def batch(rng):
    """Four positives with three negatives each."""
    return {
        "user": np.array([0, 4, 2, 2], np.int32),
        "item": np.array([6, 0, 3, 1], np.int32),
        "negatives": rng.integers(0, 7, (4, 3)).astype(np.int32),
    }
