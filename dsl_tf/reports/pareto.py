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
    """Every file as a point, every method a colour, and the front of all as steps.

    A method's own front is a line, and its other points are pale. Points of files that
    leave no weight out are hollow. A run whose method exports nothing (popularity, EASE
    and the like) is a dashed line. The legend begins with the method of the best file.

    Raises:
      UserError: no run has a measured `.tflite` file.
    """
    found = points(runs, metric)
    if found.empty:
        raise UserError(
            "A picture of quality against bytes needs a run with measured .tflite "
            "files (export.evaluate). Received: none."
        )
    drawn, (axis,) = figures.panels(1, height=5.4)
    best_first = found.sort_values(metric, ascending=False, kind="stable")
    names = list(
        dict.fromkeys(zip(best_first["model"], best_first["method"], strict=True))
    )
    colors = itertools.cycle(mpl.color_sequences["tab20"])
    one_model = found["model"].nunique() == 1
    for (model, method), color in zip(names, colors, strict=False):
        mine = found[(found["model"] == model) & (found["method"] == method)]
        own = front(mine, metric)
        label = method if one_model else f"{model} {method}"
        axis.plot(own["bytes"], own[metric], "-", color=color, lw=1.2, alpha=0.6)
        axis.plot([], [], "-", color=color, lw=4, label=label)
        for (file, pruned), rows in mine.groupby(["file", "pruned"]):
            for shown, size, alpha in (
                (rows[rows.index.isin(own.index)], 6, 0.9),
                (rows[~rows.index.isin(own.index)], 3.5, 0.3),
            ):
                axis.plot(
                    *(shown["bytes"], shown[metric], _SIGNS[file][1]),
                    color=color,
                    fillstyle="full" if pruned else "none",
                    ms=size,
                    alpha=alpha,
                )
    best = front(found, metric)
    axis.step(
        *(best["bytes"], best[metric]),
        where="post",
        color=figures.GREY,
        lw=4.0,
        alpha=0.25,
        zorder=1,
    )
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
