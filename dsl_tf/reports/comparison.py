"""Several runs side by side, with paired differences to the first of them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from dsl_tf.errors import UserError
from dsl_tf.evaluation.intervals import paired_bootstraps
from dsl_tf.reports import tables
from dsl_tf.reports.runs import Run

_Row = dict[str, Any]


def _data_seed(run: Run) -> int | None:
    """What a protocol draws by."""
    seed: int | None = run.config.get("data", {}).get("seed")
    return seed


class Section(NamedTuple):
    """One table of a comparison, as text."""

    title: str
    note: str
    header: list[str]
    rows: list[list[str]]


class _Aspect(NamedTuple):
    """What has to be equal for numbers to answer the same question."""

    name: str
    key: Callable[[Run], object]
    text: Callable[[Run], str]


_ASPECTS = (
    _Aspect(
        "data split",
        lambda run: run.data["fingerprint"],
        lambda run: f"{run.data['name']}, fingerprint {run.data['fingerprint'][:12]}",
    ),
    _Aspect("protocol", lambda run: run.protocol, lambda run: run.protocol),
    _Aspect(
        "seed of drawn negatives",
        lambda run: _data_seed(run) if run.leaves_one_out else None,
        lambda run: f"data.seed={_data_seed(run)}",
    ),
    _Aspect(
        "cut-offs",
        lambda run: set(run.cutoffs),
        lambda run: " and ".join(str(k) for k in run.cutoffs),
    ),
    _Aspect(
        "test users",
        lambda run: set(run.per_user.index),
        lambda run: f"{len(run.per_user):,} users",
    ),
)


def refuse_unlike(runs: Sequence[Run]) -> None:
    """Refuse runs whose numbers do not answer the same question.

    Raises:
      UserError: fewer than two runs, or they differ in data split, protocol,
        negatives, cut-offs or test users; the message names what differs.
    """
    if len(runs) < 2:
        raise UserError(
            "A comparison needs at least two run folders. "
            f"Received: {', '.join(str(run.folder) for run in runs) or 'none'}."
        )
    for aspect in _ASPECTS:
        if any(aspect.key(run) != aspect.key(runs[0]) for run in runs):
            received = "; ".join(f"{run.folder}: {aspect.text(run)}" for run in runs)
            raise UserError(
                f"Compared runs must have the same {aspect.name}. Received: {received}."
            )


def compare(
    runs: Sequence[Run], metrics: Sequence[str] | None = None, seed: int = 0
) -> pd.DataFrame:
    """Metrics, paired differences to the first run, and costs.

    Args:
      runs: at least two; the first is the one to compare with.
      metrics: such as `["recall@20"]`; None for the protocol's headline ones.
      seed: of the bootstrap over users.

    Returns:
      A row for each run. For each metric `m`: the mean `m`, `m_low`, `m_high`
      (95 % interval), `m_std` (over seeds), `m_difference` (run - first),
      `m_difference_low`, `m_difference_high`, `m_p_value`. Bytes have `_bytes`
      in the column's name, times are seconds. Empty cells are NaN.

    Raises:
      UserError: runs that must not be compared, or an unknown metric.
    """
    refuse_unlike(runs)
    metrics = _known_metrics(runs, metrics)
    differences = _differences(runs, metrics, seed)
    rows = []
    for place, (run, name) in enumerate(zip(runs, _names(runs), strict=True)):
        row: _Row = {
            "run": name,
            "model": run.config["model"]["name"],
            "method": run.config["method"]["name"],
            "data": run.data["name"],
            "protocol": run.protocol,
            "users": run.metrics["users"],
            "refit": bool(run.metrics["refit"]),
            "seeds": len(run.seeds) or 1,
        }
        for metric in metrics:
            row |= _metric_cells(run, metric)
            row |= _difference_cells(metric, differences.get((place, metric)))
        rows.append(row | _cost_cells(run))
    return pd.DataFrame(rows)


def sections(frame: pd.DataFrame, runs: Sequence[Run]) -> list[Section]:
    """`compare`'s result as text: a table for each metric, one of costs."""
    rows = frame.to_dict("records")
    parts = [_metric_section(m, rows, runs) for m in compared_metrics(frame)]
    return [*parts, _cost_section(rows)]


def compared_metrics(frame: pd.DataFrame) -> list[str]:
    """The metrics that `compare`'s result has."""
    return [c.removesuffix("_p_value") for c in frame if c.endswith("_p_value")]


def _known_metrics(runs: Sequence[Run], asked: Sequence[str] | None) -> list[str]:
    known = [m for m in runs[0].per_user if all(m in run.per_user for run in runs)]
    if asked is None:
        return [metric for metric in runs[0].headline_metrics if metric in known]
    for metric in asked:
        if metric not in known:
            raise UserError(
                f"A compared metric must be one of {', '.join(known)}. "
                f"Received: {metric!r}."
            )
    return list(dict.fromkeys(asked))


def _names(runs: Sequence[Run]) -> list[str]:
    """The folders' last names, or the whole paths where those are not unique."""
    short = [run.folder.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(r.folder) for r in runs]


def _metric_cells(run: Run, metric: str) -> _Row:
    test = run.metrics["test"]
    low, high = test.get("ci95", {}).get(metric, (None, None))
    std = test.get("std", {}).get(metric)
    values = {"": test[metric], "_low": low, "_high": high, "_std": std}
    return {f"{metric}{suffix}": value for suffix, value in values.items()}


def _differences(
    runs: Sequence[Run], metrics: Sequence[str], seed: int
) -> dict[tuple[int, str], tuple[float, ...]]:
    """What tells each run but the first from it, by its place and the metric."""
    first = runs[0].per_user
    pairs = {
        (place, metric): (ours[metric].to_numpy(), first[metric].to_numpy())
        for place, run in enumerate(runs[1:], 1)
        for ours in [run.per_user.loc[first.index]]
        for metric in metrics
    }
    found = paired_bootstraps(list(pairs.values()), seed)
    return dict(zip(pairs, found, strict=True))


def _difference_cells(metric: str, found: tuple[float, ...] | None) -> _Row:
    values = (None,) * 4 if found is None else found
    names = ("difference", "difference_low", "difference_high", "p_value")
    return {f"{metric}_{n}": value for n, value in zip(names, values, strict=True)}


def _cost_cells(run: Run) -> _Row:
    training = run.cost["training"]
    return {
        "sparsity": run.cost["sparsity"],
        "parameters": run.cost["parameters"],
        "nonzeros": run.cost["nonzeros"],
        "seconds": training["seconds"],
        "state_bytes": training["state_bytes"],
        "peak_rss_bytes": training["peak_rss_bytes"],
        "base_rss_bytes": training["base_rss_bytes"],
        "memory_bytes": tables.memory(training),
        **{f"{name}_bytes": size for name, size in run.cost["files"].items()},
    }


def _metric_section(metric: str, rows: Sequence[_Row], runs: Sequence[Run]) -> Section:
    def score(suffix: str) -> Callable[[_Row], str]:
        return lambda row: tables.score(_value(row, metric + suffix))

    def interval(prefix: str) -> Callable[[_Row], str]:
        def text(row: _Row) -> str:
            low = _value(row, f"{metric}{prefix}_low")
            high = _value(row, f"{metric}{prefix}_high")
            return tables.interval(None if low is None or high is None else (low, high))

        return text

    columns: list[tuple[str, Callable[[_Row], str]]] = [
        ("run", lambda row: row["run"]),
        ("sparsity", lambda row: f"{100 * row['sparsity']:.4g} %"),
        (metric, score("")),
        ("95 % interval", interval("")),
    ]
    if any(row["seeds"] > 1 for row in rows):
        columns.append(("std of seeds", score("_std")))
    columns += [
        ("difference", lambda row: _signed(_value(row, f"{metric}_difference"))),
        ("its 95 % interval", interval("_difference")),
        ("p", lambda row: _p_text(_value(row, f"{metric}_p_value"))),
    ]
    texts = [[text(row) for _, text in columns] for row in rows]
    for name, reference in runs[0].metrics.get("reference", {}).items():
        known = [name, "-", tables.score(reference.get(metric))]
        texts.append(known + ["-"] * (len(columns) - len(known)))
    note = (
        f"protocol {runs[0].protocol}, {len(runs[0].per_user):,} users; "
        f"differences are to {rows[0]['run']}"
    )
    title = f"{metric} (test) on {runs[0].data['name']}"
    return Section(title, note, [header for header, _ in columns], texts)


def _cost_section(rows: Sequence[_Row]) -> Section:
    models = [
        name.removesuffix("_bytes")
        for name in rows[0]
        if name == "saved_model_bytes" or name.endswith(".tflite_bytes")
    ]
    header = ["run", "refit", "training", "memory", "state", *models]
    texts = []
    for row in rows:
        sizes = ["memory_bytes", "state_bytes", *(f"{name}_bytes" for name in models)]
        values = [_value(row, name) for name in sizes]
        texts.append(
            [
                row["run"],
                "yes" if row["refit"] else "no",
                f"{row['seconds']:,.1f} s",
                *("-" if v is None else tables.size(v) for v in values),
            ]
        )
    note = (
        "memory: peak in training, over that of the process after its imports; "
        "state: weights, masks or positions, and optimiser moments"
    )
    return Section("Costs", note, header, texts)


def _value(row: _Row, name: str) -> float | None:
    return None if pd.isna(row[name]) else row[name]


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _p_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
