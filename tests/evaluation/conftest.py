"""Small splits, written as lists of items for each user."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dsl_tf.types import Interactions, Split

Lists = Sequence[Sequence[int]]


def interactions(lists: Lists) -> Interactions:
    users = np.repeat(np.arange(len(lists)), [len(items) for items in lists])
    items = np.concatenate([np.sort(items) for items in lists]) if lists else []
    return Interactions(users.astype(np.int32), np.asarray(items, np.int32))


@pytest.fixture(scope="session")
def make_split() -> Callable[..., Split]:
    """`make_split(num_items, train, test, validation=…, candidates=…, fold_in=…)`."""

    def make(
        num_items: int,
        train: Lists,
        test: Lists,
        validation: Lists = (),
        candidates: np.ndarray | None = None,
        fold_in: Lists | None = None,
    ) -> Split:
        return Split(
            name="small",
            user_ids=np.arange(len(train)).astype(str).astype(object),
            item_ids=np.arange(num_items).astype(str).astype(object),
            train=interactions(train),
            validation=interactions(validation),
            test=interactions(test),
            candidates=candidates,
            fold_in=None if fold_in is None else interactions(fold_in),
        )

    return make
