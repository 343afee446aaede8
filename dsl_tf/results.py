"""The files that a run writes beside its model: what was measured of it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ml_collections import config_dict

from dsl_tf import provenance
from dsl_tf.accounting import cost
from dsl_tf.backbones.base import Backbone
from dsl_tf.evaluation import protocols, references
from dsl_tf.files import replacing, write_json
from dsl_tf.layers.tables import LookUp
from dsl_tf.methods.base import REFIT, Trained
from dsl_tf.training.evaluator import selection_metric
from dsl_tf.training.state import TrainingState
from dsl_tf.types import RankingResult, Split

CONFIG, METRICS, COST = provenance.FILE, "metrics.json", cost.FILE
HISTORY, PER_USER, SPARSITY = "history.csv", "per_user.npz", "sparsity.npz"

#: Rows and columns of the heat map of weights; tables share the columns.
_HEAT_MAP = (200, 128)
#: Rows in memory in their dense form.
_ROWS_AT_ONCE = 1 << 14


def settings(
    config: config_dict.ConfigDict, split: Split, seed: int, command: str
) -> dict[str, Any]:
    """The content of `config.json`."""
    return {
        "config": json.loads(config.to_json_best_effort()),
        "versions": provenance.versions(),
        "code": provenance.code(),
        "seed": seed,
        "data": {
            "name": split.name,
            "label": split.label,
            "users": split.num_users,
            "items": split.num_items,
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
            "fingerprint": split.fingerprint(),
            "warnings": list(split.warnings),
        },
        "git_commit": provenance.git_commit(),
        "command": command,
    }


def metrics(
    config: config_dict.ConfigDict,
    trained: Trained,
    split: Split,
    test: RankingResult,
) -> dict[str, Any]:
    """The content of `metrics.json`; nothing in it is timed.

    Args:
      config: the whole config.
      trained: what the method handed back.
      split: before any refit.
      test: the evaluation of the test set.
    """
    selection = trained.selection
    best = next(r for r in selection.history if r["epoch"] == selection.best_epoch)
    popularity = protocols.find(config.evaluation.protocol).evaluate(
        references.same_for_all(
            references.popularity_scores(trained.split.train, split.num_items)
        ),
        split,
        "test",
        tuple(config.evaluation.cutoffs),
        seed=config.data.seed,
    )
    return {
        "protocol": test.protocol,
        **({"note": test.note} if test.note else {}),
        "refit": any(each.name == REFIT for each in trained.passes),
        "valid": trained.validated
        or {
            key.removeprefix("valid_"): value
            for key, value in best.items()
            if key.startswith("valid_")
        },
        "test": {
            **test.mean,
            "ci95": {name: list(bounds) for name, bounds in test.ci95.items()},
        },
        "reference": {"popularity": popularity.mean},
        "best_epoch": selection.best_epoch,
        "users": len(test.users),
        "users_left_out": test.left_out,
        **({"warnings": list(trained.warnings)} if trained.warnings else {}),
    }


def costs(trained: Trained, base_rss_bytes: int) -> dict[str, Any]:
    """The content of `cost.json`, but for the exported files.

    Args:
      trained: in this process, not read back.
      base_rss_bytes: see `cost.report`.
    """
    passes = [each.cost for each in trained.passes if each.cost is not None]
    return cost.report(trained.model, passes, base_rss_bytes)


def write_history(folder: Path, state: TrainingState) -> None:
    """One row an epoch."""
    with replacing(folder / HISTORY) as partial:
        pd.DataFrame(state.history).to_csv(partial, index=False)


def write_per_user(folder: Path, test: RankingResult) -> None:
    """Each test user's metrics, for paired comparisons."""
    _write_arrays(folder / PER_USER, {"users": test.users, **test.per_user})


def write_sparsity(folder: Path, model: Backbone, split: Split) -> None:
    """How sparse the rows of each user and item are (DSL Figure 4)."""
    order = np.argsort(split.popularity(), kind="stable")
    shown = order[
        np.linspace(0, len(order) - 1, min(_HEAT_MAP[0], len(order)), dtype=int)
    ]
    tables = {n: each(shown).numpy() for n, each in model.look_ups("items").items()}
    columns = [table[:, : _HEAT_MAP[1] // len(tables)] for table in tables.values()]
    arrays = {
        "user_activity": split.activity(),
        "item_popularity": split.popularity(),
        "heat_map": np.abs(np.concatenate(columns, axis=1)),
        "heat_map_tables": np.array(list(tables)),
        "heat_map_columns": np.array([each.shape[1] for each in columns]),
    }
    for kind, rows in (("users", split.num_users), ("items", split.num_items)):
        if look_ups := model.look_ups(kind):
            arrays[kind] = _pruned(list(look_ups.values()), rows)
    _write_arrays(folder / SPARSITY, arrays)


def _pruned(look_ups: Sequence[LookUp], rows: int) -> np.ndarray:
    """The share of zeros in each row of tables side by side, float32 [rows]."""
    shares = []
    for start in range(0, rows, _ROWS_AT_ONCE):
        here = np.arange(start, min(start + _ROWS_AT_ONCE, rows))
        block = np.concatenate([look_up(here).numpy() for look_up in look_ups], axis=1)
        shares.append((block == 0).mean(axis=1, dtype=np.float32))
    return np.concatenate(shares)


def write(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Write one of the JSON files."""
    write_json(folder / name, content)


def read(folder: Path, name: str) -> dict[str, Any]:
    """Read one of the JSON files."""
    content: dict[str, Any] = json.loads((folder / name).read_text("utf-8"))
    return content


def mean_and_deviation(folders: list[Path]) -> dict[str, Any]:
    """`metrics.json` of the runs of several seeds: means, and `std` beside them.

    The warnings are those of all seeds, each once.

    The deviation is the sample's (n - 1). The best seed has the best validation
    by the metric that selects epochs; the first seed where there is none.
    """
    each = [read(folder, METRICS) for folder in folders]
    seeds = [read(folder, CONFIG)["seed"] for folder in folders]
    result = dict(each[0])
    warnings = [text for run in each for text in run.get("warnings", [])]
    if warnings:
        result["warnings"] = list(dict.fromkeys(warnings))
    for part in ("valid", "test"):
        names = [k for k, v in each[0][part].items() if not isinstance(v, dict)]
        values = {name: [run[part][name] for run in each] for name in names}
        result[part] = {name: float(np.mean(v)) for name, v in values.items()}
        result[part]["std"] = {n: float(np.std(v, ddof=1)) for n, v in values.items()}
    cutoffs = read(folders[0], CONFIG)["config"]["evaluation"]["cutoffs"]
    scores = [run["valid"].get(selection_metric(cutoffs), 0.0) for run in each]
    result["best_epoch"] = [run["best_epoch"] for run in each]
    return {**result, "seeds": seeds, "best_seed": seeds[int(np.argmax(scores))]}


def gather(folder: Path, members: list[Path]) -> None:
    """Write the means of several seeds, and the best seed's exports, on top.

    Args:
      folder: of the run.
      members: its folder of each seed; nothing is to be done where it is one's own.
    """
    if members == [folder]:
        return
    metrics = mean_and_deviation(members)
    best = folder / f"seed_{metrics['best_seed']}"
    for name in read(best, COST)["files"]:
        with replacing(folder / name) as partial:
            copy = shutil.copytree if (best / name).is_dir() else shutil.copy
            copy(best / name, partial)
    write(folder, METRICS, metrics)


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
