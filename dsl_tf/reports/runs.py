"""Read a finished run back from its folder.

A run of one seed is one folder. A run of several seeds is a folder whose
`metrics.json` holds means, with `std`, `seeds` and `best_seed` beside them, and
a complete folder `seed_<n>/` for each seed.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dsl_tf.errors import UserError

_SETTINGS, _METRICS, _COST = "config.json", "metrics.json", "cost.json"
_HISTORY, _PER_USER, _SPARSITY = "history.csv", "per_user.npz", "sparsity.npz"


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, as its files tell it.

    Attributes:
      folder: where it lies, as the user named it.
      settings: `config.json`: the resolved config, versions, seed, data.
      metrics: `metrics.json`; means where the run has several seeds.
      cost: `cost.json`, of the best seed where the run has several.
      history: one row an epoch, of the best seed where the run has several.
      per_user: float64, one row for each test user (index: row number), one
        column for each metric; means over the seeds where there are several.
      sparsity: arrays of `sparsity.npz` by name, or None for a dense run.
    """

    folder: pathlib.Path
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    cost: Mapping[str, Any]
    history: pd.DataFrame
    per_user: pd.DataFrame
    sparsity: Mapping[str, np.ndarray] | None

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved, nested config."""
        return self.settings["config"]

    @property
    def data(self) -> Mapping[str, Any]:
        """Name, label, counts, fingerprint and warnings of the split."""
        return self.settings["data"]

    @property
    def warnings(self) -> list[str]:
        """What a reader of the numbers has to know, of the data and the method."""
        return [*self.data.get("warnings", []), *self.metrics.get("warnings", [])]

    @property
    def protocol(self) -> str:
        return self.metrics["protocol"]

    @property
    def leaves_one_out(self) -> bool:
        """Whether one held-out item is ranked among a few negatives."""
        return self.protocol.startswith("leave_one_out")

    @property
    def cutoffs(self) -> tuple[int, ...]:
        return tuple(self.config["evaluation"]["cutoffs"])

    @property
    def seeds(self) -> list[int]:
        """The seeds of a run of several, or an empty list."""
        return list(self.metrics.get("seeds", []))

    @property
    def refit(self) -> str:
        """How rows of a table say whether validation data was trained on."""
        return "refit" if self.metrics["refit"] else "no refit"

    @property
    def validated(self) -> bool:
        """Whether there was a validation part, which chose the epoch."""
        values = self.metrics["valid"].values()
        return any(not isinstance(value, Mapping) for value in values)

    @property
    def title(self) -> str:
        model, method = self.config["model"]["name"], self.config["method"]["name"]
        return f"{model}, {method}, on {self.data['name']} ({self.data['label']})"

    @functools.cached_property
    def metric_names(self) -> list[str]:
        """Every metric of the test set, in the order of the file."""
        return [
            name
            for name, value in self.metrics["test"].items()
            if not isinstance(value, Mapping)
        ]

    @property
    def headline_metrics(self) -> list[str]:
        """The metrics that the protocol's literature reports.

        Recall and NDCG, at every cut-off; hit rate and NDCG where the protocol
        leaves one item out (NCF sec. 4.1).
        """
        families = ("hit", "ndcg") if self.leaves_one_out else ("recall", "ndcg")
        wanted = [f"{family}@{k}" for k in self.cutoffs for family in families]
        return [name for name in wanted if name in self.metric_names]

    def file(self, name: str) -> pathlib.Path:
        """The run's file `name`: its own, or that of its best seed."""
        return _locate(self.folder, name, self.metrics)


def read_run(folder: str | pathlib.Path) -> Run:
    """Read a run folder.

    Raises:
      UserError: no such folder, no finished run in it, or a damaged file.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"A run folder must exist. Received: {str(folder)!r}.")
    metrics = _read_json(folder, folder / _METRICS)
    found = {
        name: _locate(folder, name, metrics)
        for name in (_SETTINGS, _COST, _HISTORY, _SPARSITY)
    }
    sparsity = found[_SPARSITY]
    return Run(
        folder=folder,
        settings=_read_json(folder, found[_SETTINGS]),
        metrics=metrics,
        cost=_read_json(folder, found[_COST]),
        history=_read_history(folder, found[_HISTORY]),
        per_user=_read_per_user(folder, metrics),
        sparsity=_read_arrays(folder, sparsity) if sparsity.is_file() else None,
    )


def _locate(folder: pathlib.Path, name: str, metrics: Mapping) -> pathlib.Path:
    own = folder / name
    if "best_seed" in metrics and not own.exists():
        return folder / f"seed_{metrics['best_seed']}" / name
    return own


def _checked(folder: pathlib.Path, file: pathlib.Path) -> pathlib.Path:
    if not file.is_file():
        raise UserError(
            "A run folder must hold a finished run. "
            f"Received: {str(folder)!r}, without {file.relative_to(folder)}."
        )
    return file


def _damaged(file: pathlib.Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(
        f"A run's files must be whole. Received: {str(file)!r} ({reason})."
    )


def _read_json(folder: pathlib.Path, file: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(_checked(folder, file).read_text("utf-8"))
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise _damaged(file, error) from error
    if not isinstance(content, dict):
        raise _damaged(file, TypeError("not a JSON object"))
    return content


def _read_history(folder: pathlib.Path, file: pathlib.Path) -> pd.DataFrame:
    _checked(folder, file)
    try:
        return pd.read_csv(file)
    except ValueError as error:  # pandas' ParserError and EmptyDataError are ones
        raise _damaged(file, error) from error


def _read_arrays(folder: pathlib.Path, file: pathlib.Path) -> dict[str, np.ndarray]:
    _checked(folder, file)
    try:
        with file.open("rb") as stream, np.load(stream) as arrays:
            return dict(arrays)
    except Exception as error:  # NumPy: ValueError, OSError, BadZipFile, KeyError, …
        raise _damaged(file, error) from error


def _read_per_user(folder: pathlib.Path, metrics: Mapping) -> pd.DataFrame:
    parts = [folder / f"seed_{seed}" for seed in metrics.get("seeds", [])] or [folder]
    frames = []
    for part in parts:
        arrays = _read_arrays(folder, part / _PER_USER)
        users = pd.Index(arrays.pop("users"), name="user")
        frames.append(pd.DataFrame(arrays, index=users, dtype=np.float64))
    # A protocol may draw its users by seed: only those of every seed have a mean.
    shared = functools.reduce(pd.Index.intersection, (f.index for f in frames))
    return sum((f.loc[shared] for f in frames[1:]), frames[0].loc[shared]) / len(parts)
