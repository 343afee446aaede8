"""A run folder made by hand: four test users, numbers that can be checked."""

import copy
import json
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest

USERS = np.array([0, 2, 5, 7], np.int32)
#: Mean 0.375.
RECALL = np.array([0.0, 0.25, 0.5, 0.75])

CONFIG = {
    "config": {
        "data": {"name": "toy", "path": ""},
        "model": {"name": "neumf", "embedding_dim": 2},
        "method": {"name": "dsl"},
        "sparsity": {"target": 0.75},
        "evaluation": {"protocol": "full_ranking", "cutoffs": [20]},
        "export": {"k": 20, "users": "all"},
    },
    "versions": {"tensorflow": "2.21.0"},
    "seed": 0,
    "data": {
        "name": "toy",
        "label": "given",
        "users": 8,
        "items": 6,
        "train": 20,
        "validation": 4,
        "test": 8,
        "fingerprint": "f" * 64,
        "warnings": ["2 duplicates were dropped."],
    },
    "git_commit": None,
    "command": "python -m dsl_tf.main --config=configs/neumf.py",
}
METRICS = {
    "protocol": "full_ranking",
    "refit": False,
    "valid": {"recall@20": 0.5, "ndcg@20": 0.25},
    "test": {
        "recall@20": 0.375,
        "ndcg@20": 0.1875,
        "coverage@20": 0.75,
        "ci95": {"recall@20": [0.125, 0.625], "ndcg@20": [0.0625, 0.3125]},
    },
    "reference": {"popularity": {"recall@20": 0.125, "ndcg@20": 0.0625}},
    "best_epoch": 2,
    "users": 4,
}
COST = {
    "parameters": 1600,
    "nonzeros": 400,
    "sparsity": 0.75,
    "tensors": {},
    "training": {
        "seconds": 12.5,
        "steps": 30,
        "macs": 2_000_000_000,
        "state_bytes": 4800,
        "peak_rss_bytes": 700_000_000,
        "base_rss_bytes": 600_000_000,
        "passes": [
            {
                "name": "select",
                "layers": {
                    "inner product": {
                        "forward": 600_000_000,
                        "backward": 1_200_000_000,
                        "optimizer": 0,
                    },
                    "update of table": {
                        "forward": 0,
                        "backward": 0,
                        "optimizer": 200_000_000,
                    },
                },
            }
        ],
    },
    "inference": {"macs_per_user": 3000, "table_bytes": 1600},
    "files": {"saved_model": 90_000, "model.tflite": 2_000_000},
    "files_detail": {},
}
HISTORY = """\
epoch,step,loss,valid_recall@20,valid_ndcg@20,seconds,nnz
1,10,0.75,0.25,0.125,1.5,400
2,20,0.5,0.5,0.25,1.5,400
3,30,0.25,0.375,0.1875,1.5,400
"""
SPARSITY = {
    "users": np.array([1, 1, 0.5, 0.5, 1, 0.5, 0.5, 1], np.float32),
    "items": np.array([0, 0.5, 1, 1, 1, 1], np.float32),
    "user_activity": np.array([1, 1, 4, 4, 1, 4, 4, 1]),
    "item_popularity": np.array([9, 5, 2, 2, 1, 1]),
    "heat_map": np.array([[0, 0.25], [0.5, 0], [0.75, 1]], np.float32),
}


def _write(
    folder: pathlib.Path,
    dense: bool = False,
    recall: np.ndarray = RECALL,
    users: np.ndarray = USERS,
    config: Mapping | None = None,
    data: Mapping | None = None,
    metrics: Mapping | None = None,
    cost: Mapping | None = None,
) -> pathlib.Path:
    folder.mkdir(parents=True)
    settings = copy.deepcopy(CONFIG)
    settings["config"] |= config or {}
    settings["data"] |= data or {}
    contents = {
        "config.json": settings,
        "metrics.json": METRICS | dict(metrics or {}),
        "cost.json": COST | ({"sparsity": 0.0} if dense else {}) | dict(cost or {}),
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "history.csv").write_text(HISTORY)
    ndcg = recall / 2
    np.savez(
        folder / "per_user.npz", users=users, **{"recall@20": recall, "ndcg@20": ndcg}
    )
    if not dense:
        np.savez(folder / "sparsity.npz", **SPARSITY)
    return folder


@pytest.fixture(scope="session")
def write_run() -> Callable[..., pathlib.Path]:
    """Writes a run into a new folder, with what is given changed."""
    return _write


@pytest.fixture
def make_run(write_run, tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Writes the run `tmp_path/<name>`, with what is given changed."""

    def make(name: str = "run", **changes) -> pathlib.Path:
        return write_run(tmp_path / name, **changes)

    return make


@pytest.fixture
def make_run_of_seeds(make_run, tmp_path) -> Callable[..., pathlib.Path]:
    """Writes a run of seeds 3 and 4 (the better): recall of 4 is 0.25 higher."""

    def make(name: str = "seeds") -> pathlib.Path:
        make_run(f"{name}/seed_3")
        best = make_run(f"{name}/seed_4", recall=RECALL + 0.25)
        cost = COST | {"training": COST["training"] | {"seconds": 99.0}}
        (best / "cost.json").write_text(json.dumps(cost))
        mean = {"recall@20": 0.5, "ndcg@20": 0.25, "std": {"recall@20": 0.125}}
        metrics = METRICS | {
            "valid": mean,
            "test": mean,
            "seeds": [3, 4],
            "best_seed": 4,
        }
        (tmp_path / name / "metrics.json").write_text(json.dumps(metrics))
        return tmp_path / name

    return make
