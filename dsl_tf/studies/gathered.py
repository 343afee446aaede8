"""All that the cells of a study found, as one tidy table."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from dsl_tf import config_files
from dsl_tf.errors import UserError
from dsl_tf.reports import tables
from dsl_tf.reports.runs import Run, read_run
from dsl_tf.studies import compared
from dsl_tf.studies.cells import Place, Status
from dsl_tf.studies.grid import CONFIG
from dsl_tf.studies.instructions import counted

#: Columns that say which cell a row is; its axes follow.
LABELS = ("study", "cell", "backbone", "data", "method", "sparsity", "seed")

#: The method that others are compared with, user by user.
BASELINE = "dense"

#: The share that is of a step, not of a run.
_PUBLISHED_SHARE = "as_published_share"

#: Costs of training that are told as shares of the baseline's too, by what is shown.
SHARES = {
    "training_macs_share": "cost.training.macs",
    _PUBLISHED_SHARE: "cost.as_published.training_macs",
    "state_share": "cost.training.state_bytes",
}

#: The paper's formulas, which are of steps: a method without any has no such cost.
_PUBLISHED = "cost.as_published."

#: What tells a cell from the baseline that it is compared with.
_OWN = ("method", "sparsity", "growth", "pruning", "budget", "storage", "export")


def runs(places: Sequence[Place]) -> dict[str, Run]:
    """The finished cells by their names, but for those whose files are damaged."""
    found = {}
    for place in places:
        if place.status is Status.DONE:
            with contextlib.suppress(UserError):  # `frame` says so
                found[place.cell.name] = read_run(place.folder)
    return found


def frame(
    name: str,
    places: Sequence[Place],
    found: Mapping[str, Run],
    known: compared.Known | None = None,
) -> pd.DataFrame:
    """A row for each cell, finished or not.

    Args:
      name: of the study.
      places: of its cells.
      found: `runs` of them.
      known: comparisons from before; those that are new are added.

    Returns:
      Columns `LABELS`, where `sparsity` is what was asked for, if it was; a column for
      each other key that is an axis of the grid, and `config`, their files, where cells
      differ in nothing else; `status` and `error`; of finished
      cells the metrics of the test set by their names, those of validation with
      `valid_` before them, those of the file that `budget.bytes` holds down with
      `file_`; `protocol`, and whether there was a `refit`; every number of `cost.json`
      with `cost.` before its keys, those of a pass by its name (those of its layers:
      `layers`), and `training_memory`, bytes over what the process had before;
      `instructions`, where all could be counted; paired differences to the dense cell
      of the same data, model, training and seed (`compared.COLUMNS`), and shares of its
      costs (`SHARES`); `warnings`, what a reader of its numbers has to know; `search`,
      the folder of the search that it has values of, or ""; `command`.
    """
    dense = {
        _family(place): found[place.cell.name]
        for place in places
        if place.cell.name in found and place.cell.config.method.name == BASELINE
    }
    labels = [_labels(name, place) for place in places]
    if not _tell_apart(labels):
        for place, row in zip(places, labels, strict=True):
            row[CONFIG] = place.cell.file
    known = {} if known is None else known
    others = {
        name: dense[_family(place)]
        for place in places
        if (name := place.cell.name) in found and _family(place) in dense
    }
    pairs = [(found[each], other) for each, other in others.items()]
    same_data = [each for each in pairs if _data(each[0]) == _data(each[1])]
    compared.compare(same_data, known)
    rows = []
    for place, row in zip(places, labels, strict=True):
        row = row | {"status": str(place.status), "error": place.error}
        run = found.get(place.cell.name)
        if run is not None:
            row |= _numbers(run) | {"instructions": _instructions(place, run)}
            warnings = list(run.metrics.get("warnings", []))
            if place.source:
                warnings.append(f"Made and measured in {place.source}.")
            other = others.get(place.cell.name)
            if other is not None and _data(run) != _data(other):
                warnings.append("Its data are not those of the dense cell any more.")
                other = None
            if other is not None:
                row |= known.get((run.folder, other.folder), {})
            row |= _shares(run, other)
            row |= {"warnings": " ".join(warnings)}
        elif place.status is Status.DONE:
            row |= {"warnings": _damage(place)}
        rows.append(row | {"search": place.cell.search, "command": place.cell.command})
    first = list(dict.fromkeys(key for each in labels for key in each))
    together = pd.DataFrame(rows)
    last = ["search", "command"]
    others = together.columns.drop([*first, *last])
    return together[[*first, *others, *last]]


def layers(
    name: str, places: Sequence[Place], found: Mapping[str, Run]
) -> pd.DataFrame:
    """A row for each layer of each pass of each finished cell.

    Args:
      name: of the study.
      places: of its cells.
      found: `runs` of them.

    Returns:
      Columns `LABELS`, `pass`, `layer`, and the multiply-accumulates `forward`,
      `backward` and `optimizer`; see `accounting.macs`.
    """
    parts = ["forward", "backward", "optimizer"]
    rows = [
        {**_labels(name, place), "pass": each["name"], "layer": layer, **taken}
        for place in places
        if place.cell.name in found
        # A run may be older than this account.
        for each in found[place.cell.name].cost["training"].get("passes", ())
        for layer, taken in each.get("layers", {}).items()
    ]
    return pd.DataFrame(rows, columns=[*LABELS, "pass", "layer", *parts])


def headlines(found: Mapping[str, Run]) -> list[str]:
    """The metrics that the protocols of some runs report."""
    names = [name for run in found.values() for name in run.headline_metrics]
    return list(dict.fromkeys(names))


def axes(table: pd.DataFrame) -> list[str]:
    """Keys of the config, beside `LABELS`, in which cells differ."""
    columns = list(table.columns)
    return columns[len(LABELS) : columns.index("status")]


def _labels(name: str, place: Place) -> dict[str, Any]:
    cell = place.cell
    config = cell.config
    sparsity = config_files.sparsity(config)
    if config.budget.bytes:
        sparsity = math.nan  # what the bytes leave
    labels = {
        "study": name,
        "cell": cell.name,
        "backbone": config.model.name,
        "data": config.data.name,
        "method": config.method.name,
        "sparsity": sparsity,
        "seed": cell.seed,
    }
    known = {CONFIG, "method.name", "sparsity.target", "data.name", "model.name"}
    return labels | {
        key: ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else value
        for key, value in cell.axes.items()
        if key not in known
    }


def _tell_apart(labels: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no two cells are alike in all but their names."""
    told = [tuple(str(v) for k, v in row.items() if k != "cell") for row in labels]
    return len(set(told)) == len(told)


def _family(place: Place) -> tuple[tuple[str, str], ...]:
    """What cells that may be compared have in common, their seed among it."""
    values = config_files.flatten(place.cell.untuned).items()
    alike = {key: str(each) for key, each in values if key.split(".")[0] not in _OWN}
    return tuple(sorted(alike.items()))


def _instructions(place: Place, run: Run) -> int | None:
    """None where another cell took a pass: they were counted there, with others."""
    if run.cost["training"].get("seconds_of_other_runs"):
        return None
    return counted(place.counts)


def _numbers(run: Run) -> dict[str, Any]:
    test, valid = run.metrics["test"], run.metrics["valid"]
    numbers: dict[str, Any] = {name: test[name] for name in run.metric_names}
    for name, bounds in test.get("ci95", {}).items():
        numbers |= {f"{name}_low": bounds[0], f"{name}_high": bounds[1]}
    numbers |= {f"valid_{name}": valid[name] for name in numbers if name in valid}
    if "budget" in run.cost:
        held = run.cost.get("files_metrics", {}).get(run.cost["budget"]["file"], {})
        numbers |= {f"file_{name}": held[name] for name in numbers if name in held}
    numbers["protocol"], numbers["refit"] = run.protocol, run.metrics["refit"]
    numbers["best_epoch"] = run.metrics.get("best_epoch")
    numbers["training_memory"] = tables.memory(run.cost["training"])
    return numbers | _costs(run)


def _costs(run: Run) -> dict[str, float]:
    """The numbers of `cost.json` by their paths."""
    found = dict(_leaves(run.cost, "cost"))
    if found["cost.training.steps"]:
        return found
    return {k: each for k, each in found.items() if not k.startswith(_PUBLISHED)}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, float]]:
    """The numbers in JSON by their paths, but for those of layers."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key != "layers":
                yield from _leaves(part, f"{path}.{key}")
    elif isinstance(value, list):
        for place, part in enumerate(value):
            # A pass has a name, a length of a shape has not.
            known = part["name"] if isinstance(part, Mapping) else place
            yield from _leaves(part, f"{path}.{known}")
    elif isinstance(value, int | float):
        yield path, value


def _data(run: Run) -> object:
    """What tells its split from any other."""
    return run.data.get("fingerprint")


def _damage(place: Place) -> str:
    """Why a finished cell cannot be read."""
    try:
        read_run(place.folder)
    except UserError as error:
        return f"{error} Without the folder {place.folder} it is made again."
    return ""


def _shares(run: Run, dense: Run | None) -> dict[str, float]:
    if dense is None:
        return {}
    ours, theirs = _costs(run), _costs(dense)
    return {
        name: ours[cost] / theirs[cost]
        for name, cost in SHARES.items()
        # A run may be older than this account.
        if name != _PUBLISHED_SHARE and cost in ours and theirs.get(cost)
    } | _published_share(run, dense)


def _published_share(run: Run, dense: Run) -> dict[str, float]:
    """Of a step, as the paper's formulas are for runs that are equally long."""
    ours, theirs = map(_published_a_step, (run, dense))
    return {_PUBLISHED_SHARE: ours / theirs} if ours and theirs else {}


def _published_a_step(run: Run) -> float:
    """Of all passes, whose lengths validation chose."""
    # A run may be older than this account.
    passes = run.cost["training"].get("passes", ())
    taken = [each for each in passes if each.get("steps") and "as_published" in each]
    return float(sum(each["as_published"] / each["steps"] for each in taken))
