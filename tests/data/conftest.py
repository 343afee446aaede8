import gzip
from collections.abc import Callable

import numpy as np
import pytest
from ml_collections import ConfigDict

from dsl_tf.types import Dataset, Interactions


@pytest.fixture(scope="session")
def data_config() -> Callable[..., ConfigDict]:
    """Makes a `data` node of the config with some keys changed."""

    def make(**keys) -> ConfigDict:
        config = ConfigDict(
            {
                "name": "demo",
                "path": "",
                "root": "",
                "user_column": "user",
                "item_column": "item",
                "rating_column": "rating",
                "time_column": "time",
                "separator": "",
                "min_rating": 0.0,
                "k_core": 0,
                "split": "auto",
                "test_fraction": 0.2,
                "validation": "random",
                "validation_fraction": 0.1,
                "seed": 0,
            }
        )
        config.update(keys)
        return config

    return make


@pytest.fixture(scope="session")
def make_interactions() -> Callable[..., Interactions]:
    """Makes interactions of (user, item[, rating[, time]]) tuples."""

    def make(*rows: tuple) -> Interactions:
        columns = [list(column) for column in zip(*rows, strict=True)]
        columns += [None] * (4 - len(columns))
        users, items, ratings, times = columns
        return Interactions(
            np.array(users, np.int32),
            np.array(items, np.int32),
            None if ratings is None else np.array(ratings, np.float32),
            None if times is None else np.array(times, np.int64),
        )

    return make


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    """Makes a data set whose raw ids are the row numbers."""

    def make(train: Interactions, test=None, validation=None, **more) -> Dataset:
        parts = [part for part in (train, test, validation) if part is not None]
        ids = [
            np.arange(1 + max(getattr(part, name).max() for part in parts))
            .astype(str)
            .astype(object)
            for name in ("users", "items")
        ]
        return Dataset("sample", *ids, train, test, validation, **more)

    return make


@pytest.fixture
def write(tmp_path) -> Callable:
    """Writes a file below the test's folder, gzipped by its suffix."""

    def make(name: str, content: str | bytes):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        return path

    return make
