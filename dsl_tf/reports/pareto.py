"""Quality against exported bytes: what each method makes of a phone's storage."""

import itertools
import pathlib
from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from dsl_tf.errors import UserError
from dsl_tf.reports import figures, tables
from dsl_tf.reports.runs import Run

#: Value types of `.tflite` files to the signs of their points.
_SIGNS = {
    "model.tflite": ("float32", "o"),
    "model_fp16.tflite": ("float16", "s"),
    "model_int8.tflite": ("int8", "D"),
    "model_int4.tflite": ("int4", "^"),
}


def points(runs: Sequence[Run], metric: str) -> pd.DataFrame:
    """The `.tflite` files of runs, a row each, ascending in bytes.

    Args:
      runs: that may be compared.
      metric: of the test set, measured with each file's own numbers.

    Returns:
      Columns `model`, `method`, `run`, `pruned`, `file`, `bytes` and the metric.
    """
    rows = [
        {
            "model": run.config["model"]["name"],
            "method": run.config["method"]["name"],
            "run": str(run.folder),
            "pruned": run.cost["sparsity"] > 0,
            "file": name,
            "bytes": run.cost["files"][name],
            metric: measured[metric],
        }
        for run in runs
        for name, measured in run.cost.get("files_metrics", {}).items()
        if name in _SIGNS and metric in measured
    ]
    columns = ["model", "method", "run", "pruned", "file", "bytes", metric]
    return pd.DataFrame(rows, columns=columns).sort_values("bytes", ignore_index=True)


def front(found: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The points that no other one of as few bytes is as good as."""
    ordered = found.sort_values(["bytes", metric], ascending=[True, False])
    best_before = ordered[metric].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered[metric] > best_before]


def figure(runs: Sequence[Run], metric: str) -> Figure:
    """Every file as a point, every method a colour, and the front as steps.

    Points of files that leave no weight out are hollow. A run whose method exports
    nothing (popularity, EASE and the like) is a dashed line.

    Raises:
      UserError: no run has a measured `.tflite` file.
    """
    found = points(runs, metric)
    if found.empty:
        raise UserError(
            "A picture of quality against bytes needs a run with measured .tflite "
            "files (export.evaluate). Received: none."
        )
    drawn, (axis,) = figures.panels(1, height=5.0)
    names = list(dict.fromkeys(zip(found["model"], found["method"], strict=True)))
    colors = dict(
        zip(names, itertools.cycle(mpl.color_sequences["tab20"]), strict=False)
    )
    for name in names:
        mine = found[(found["model"] == name[0]) & (found["method"] == name[1])]
        axis.plot([], [], "-", color=colors[name], lw=4, label=" ".join(name))
        for (file, pruned), rows in mine.groupby(["file", "pruned"]):
            axis.plot(
                *(rows["bytes"], rows[metric], _SIGNS[file][1]),
                color=colors[name],
                fillstyle="full" if pruned else "none",
                ms=6,
                alpha=0.85,
            )
    best = front(found, metric)
    axis.step(best["bytes"], best[metric], where="post", color=figures.GREY, lw=1.0)
    for run in runs:
        if not run.cost["files"]:
            axis.axhline(run.metrics["test"][metric], color=figures.GREY, ls="--", lw=1)
            axis.annotate(
                run.config["method"]["name"],
                (1.0, run.metrics["test"][metric]),
                xycoords=("axes fraction", "data"),
                xytext=(-4, 3),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color=figures.GREY,
            )
    for file in [name for name in _SIGNS if name in set(found["file"])]:
        label, sign = _SIGNS[file]
        axis.plot([], [], sign, color=figures.GREY, label=label)
    if found["pruned"].nunique() > 1:
        what = "hollow: nothing pruned"
        axis.plot([], [], "o", color=figures.GREY, fillstyle="none", label=what)
    figures.logarithmic(axis, tables.size)
    axis.set_xlabel("bytes of the .tflite file")
    axis.set_ylabel(f"{metric} of the test set")
    drawn.legend(loc="outside right upper", frameon=False, fontsize=8)
    return drawn


def write(runs: Sequence[Run], metric: str, file: pathlib.Path) -> None:
    """Write `figure` in the format of the file's ending.

    Raises:
      UserError: see `figure`; or no such format.
    """
    drawn = figure(runs, metric)
    formats = drawn.canvas.get_supported_filetypes()
    if file.suffix[1:] not in formats:
        raise UserError(
            f"A picture's file must end in one of {', '.join(sorted(formats))}. "
            f"Received: {file}."
        )
    drawn.savefig(file)
