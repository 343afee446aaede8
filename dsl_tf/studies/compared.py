"""Finished cells beside the dense ones that they are compared with, user by user."""

from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import TypeAlias

from dsl_tf.evaluation.intervals import paired_bootstraps
from dsl_tf.reports.runs import Run

#: Columns of the comparison, each `<metric>_<one of these>`.
COLUMNS = ("difference", "difference_low", "difference_high", "p_value")

#: Comparisons of finished cells, which stay as they are, by both folders.
Known: TypeAlias = MutableMapping[tuple[Path, Path], dict[str, float]]


def compare(pairs: Sequence[tuple[Run, Run]], known: Known) -> None:
    """Add what is not known of runs and the dense runs that they are compared with.

    Those of one dense run share its resamples.
    """
    new: dict[Path, list[tuple[Run, Run]]] = {}
    for run, dense in pairs:
        if dense is not run and (run.folder, dense.folder) not in known:
            new.setdefault(dense.folder, []).append((run, dense))
    for of_one in new.values():
        each = [(r, d, metric) for r, d in of_one for metric in r.headline_metrics]
        both = [
            (
                r.per_user[metric].reindex(d.per_user.index).to_numpy(),
                d.per_user[metric].to_numpy(),
            )
            for r, d, metric in each
        ]
        found = paired_bootstraps(both, 0)
        for (r, d, metric), values in zip(each, found, strict=True):
            cells = known.setdefault((r.folder, d.folder), {})
            for name, value in zip(COLUMNS, values, strict=True):
                cells[f"{metric}_{name}"] = value
