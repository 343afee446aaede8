import csv
import json

import numpy as np
import pytest

from dsl_tf import results
from dsl_tf.training.state import TrainingState


@pytest.fixture
def seeds(tmp_path):
    """The folders of two seeds, with metrics known by hand."""

    def write(seed, recall, valid):
        folder = tmp_path / f"seed_{seed}"
        metrics = {
            "protocol": "full_ranking",
            "valid": valid,
            "test": {"recall@20": recall, "ci95": {"recall@20": [0.0, 1.0]}},
            "reference": {"popularity": {"recall@20": 0.1}},
            "best_epoch": seed + 2,
        }
        results.write(folder, results.METRICS, metrics)
        config = {"evaluation": {"cutoffs": [20, 50]}}
        results.write(folder, results.CONFIG, {"seed": seed, "config": config})
        return folder

    return write


def test_mean_and_deviation(seeds):
    folders = [
        seeds(3, 0.2, {"ndcg@20": 0.9, "recall@20": 0.5}),
        seeds(5, 0.4, {"ndcg@20": 0.1, "recall@20": 0.7}),
    ]
    merged = results.mean_and_deviation(folders)
    assert merged["test"]["recall@20"] == pytest.approx(0.3)
    # Of two values a and b the sample's deviation is |a - b| / sqrt(2).
    assert merged["test"]["std"]["recall@20"] == pytest.approx(0.2 / 2**0.5)
    assert "ci95" not in merged["test"]
    assert merged["valid"]["recall@20"] == pytest.approx(0.6)
    assert merged["seeds"] == [3, 5]
    assert merged["best_seed"] == 5  # by recall, which selects, not by ndcg
    assert merged["best_epoch"] == [5, 7]
    assert merged["reference"] == {"popularity": {"recall@20": 0.1}}


def test_without_validation_the_first_seed_is_the_best(seeds):
    folders = [seeds(3, 0.2, {}), seeds(5, 0.4, {})]
    assert results.mean_and_deviation(folders)["best_seed"] == 3


def test_the_warnings_are_those_of_all_seeds(seeds):
    folders = [seeds(seed, 0.2, {}) for seed in (3, 5, 7)]
    assert "warnings" not in results.mean_and_deviation(folders)
    for folder, warnings in zip(folders, ([], ["b", "a"], ["c", "b"]), strict=True):
        metrics = results.read(folder, results.METRICS)
        results.write(folder, results.METRICS, metrics | {"warnings": warnings})
    assert results.mean_and_deviation(folders)["warnings"] == ["b", "a", "c"]


def test_history(tmp_path):
    rows = [{"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "loss": 1 / 3, "nnz": 7}]
    results.write_history(tmp_path, TrainingState(history=rows))
    with (tmp_path / "history.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == ["epoch", "loss", "nnz"]
    assert [float(row["loss"]) for row in (first, second)] == [0.1 + 0.2, 1 / 3]


def test_json_keeps_every_bit(tmp_path):
    value = {"x": 0.1 + 0.2, "y": np.nextafter(1.0, 2.0).item()}
    results.write(tmp_path, "x.json", value)
    assert results.read(tmp_path, "x.json") == value
    assert json.loads((tmp_path / "x.json").read_text()) == value
