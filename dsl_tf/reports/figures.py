"""The figures of a run.

Built on `matplotlib.figure.Figure` alone: no pyplot, so no global state, no
display and nothing to close. Colours are Okabe and Ito's, which colour-blind
readers can tell apart.
"""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from dsl_tf.reports.runs import Run

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5f6b7a"
#: Inches and dots per inch: one width, so that text has one size on a page.
_WIDTH, _DPI = 9.0, 160


def panels(columns: int, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A figure of some panels side by side, in the style of all reports."""
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(GREY)
        axis.tick_params(colors="#333333", labelsize=9)
        axis.grid(axis="y", color="#e3e6ea", linewidth=0.8)
        axis.set_axisbelow(True)
    return figure, list(axes)


def logarithmic(axis: Axes, text: Callable[[float], str]) -> None:
    """Give the x-axis a logarithmic scale with ticks at 1, 2 and 5, as `text`."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _per_epoch(axis: Axes, history: pd.DataFrame, column: str, color: str) -> None:
    axis.plot(
        history["epoch"], history[column], "o-", color=color, markersize=3, lw=1.6
    )
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def loss_curve(history: pd.DataFrame) -> Figure:
    """Training loss by epoch."""
    figure, (axis,) = panels(1)
    _per_epoch(axis, history, "loss", BLUE)
    axis.set_ylabel("training loss (mean of the epoch)")
    return figure


def metric_curves(
    history: pd.DataFrame, metrics: Sequence[str], best_epoch: int | None
) -> Figure:
    """Validation metrics by epoch, a panel each, the best epoch marked.

    Args:
      history: has `epoch` and `valid_<metric>` for each of `metrics`.
      metrics: such as `["recall@20", "ndcg@20"]`.
      best_epoch: 1-based; None, or one that is not in `history`, is not marked.
    """
    figure, axes = panels(len(metrics))
    for axis, metric in zip(axes, metrics, strict=True):
        column = f"valid_{metric}"
        _per_epoch(axis, history, column, BLUE)
        axis.set_ylabel(f"validation {metric}")
        best = history[history["epoch"] == best_epoch]
        if not best.empty:
            value = float(best[column].iloc[0])
            axis.axvline(
                float(best["epoch"].iloc[0]), color=ORANGE, lw=1, ls=":", zorder=1
            )
            axis.plot(
                best["epoch"],
                best[column],
                "D",
                color=ORANGE,
                markersize=7,
                label=f"best epoch {best_epoch}: {value:.4f}",
            )
            axis.legend(frameon=False, fontsize=9, loc="best")
    return figure


def group_means(
    counts: np.ndarray, sparsity: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean sparsity of rows grouped by popularity (DSL sec. 4.5.1, Figure 4).

    Rows are sorted by count (ties by position) and cut into groups of equal
    size; where that does not go even, the first groups have one row more.

    Args:
      counts: [n] training interactions of each row.
      sparsity: float [n] share of pruned weights of each row.
      groups: how many; fewer rows make as many groups as there are rows.

    Returns:
      float64 [groups] median count and float64 [groups] mean sparsity, from
      the least to the most popular group.
    """
    order = np.argsort(counts, kind="stable")
    parts = np.array_split(order, min(groups, len(order)))
    return (
        np.array([np.median(counts[part]) for part in parts]),
        np.array([np.mean(sparsity[part], dtype=np.float64) for part in parts]),
    )


def sparsity_by_popularity(
    arrays: Mapping[str, np.ndarray], overall: float, groups: int = 10
) -> Figure:
    """Sparsity of users and items by popularity group (DSL Figure 4, left).

    Args:
      arrays: those of `sparsity.npz`; users or items may be missing, where no
        table is theirs.
      overall: the sparsity of all masked tensors together, a dashed line.
      groups: groups of equal size.
    """
    kinds = {"users": ("user_activity", BLUE), "items": ("item_popularity", GREEN)}
    shown = [name for name in kinds if name in arrays]
    figure, axes = panels(len(shown), height=3.6)
    for axis, name in zip(axes, shown, strict=True):
        axis.sharey(axes[0])
        counts, color = arrays[kinds[name][0]], kinds[name][1]
        medians, means = group_means(counts, arrays[name], groups)
        places = np.arange(len(means))
        axis.axhline(overall, color=GREY, ls="--", lw=1.3, label="all masked tensors")
        axis.plot(places, means, "o-", color=color, lw=1.8, label=f"mean of {name}")
        axis.set_xticks(places, [f"{i + 1}\n({m:,.0f})" for i, m in enumerate(medians)])
        axis.set_xlabel(
            f"group of {name}, from least to most popular\n"
            "(median training interactions)"
        )
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.legend(frameon=False, fontsize=9)
    axes[0].set_ylabel("sparsity (% of weights pruned)")
    # The panels are compared with each other, so no axis may zoom into noise.
    low, high = axes[0].get_ylim()
    middle, half = (low + high) / 2, max((high - low) / 2, 0.05)
    axes[0].set_ylim(max(middle - half, -0.02), min(middle + half, 1.02))
    return figure


def heat_map(arrays: Mapping[str, np.ndarray]) -> Figure:
    """Magnitudes of embedding weights (DSL Figure 4, right); pruned is white.

    Args:
      arrays: those of `sparsity.npz`. Its `heat_map`, float32 [rows, columns], has
        absolute weights of rows sampled from all, sorted from the least to the most
        popular; several tables stand side by side, each under its name.
    """
    weights = arrays["heat_map"]
    figure, (axis,) = panels(1, height=4.6)
    pruned = weights == 0
    # One outlier would make all others pale: the scale ends at the 99th percentile.
    top = float(np.percentile(weights[~pruned], 99)) if (~pruned).any() else 1.0
    image = axis.imshow(
        np.ma.masked_array(weights, pruned),
        aspect="auto",
        interpolation="nearest",
        cmap="viridis_r",
        vmin=0.0,
        vmax=top,
    )
    axis.grid(False)
    axis.set_facecolor("white")
    axis.spines[["top", "right"]].set_visible(True)
    axis.set_xlabel("embedding dimension")
    axis.set_ylabel("sampled row, from least (top) to most popular")
    _name_tables(axis, arrays)
    bar = figure.colorbar(image, ax=axis, extend="max")
    bar.set_label("|weight| (white: pruned)")
    return figure


def _name_tables(axis: Axes, arrays: Mapping[str, np.ndarray]) -> None:
    """Where several tables stand side by side: which is which, and where each ends."""
    # A run may be older than these.
    names, widths = (arrays.get(f"heat_map_{k}", ()) for k in ("tables", "columns"))
    if len(names) < 2:
        return
    ends = np.cumsum(widths)
    for end in ends[:-1]:
        axis.axvline(end - 0.5, color="black", lw=1.3)
    top = axis.secondary_xaxis("top")
    top.set_xticks(ends - (np.asarray(widths) + 1) / 2, [str(name) for name in names])
    top.tick_params(length=0)


def _figures(run: Run) -> Iterator[tuple[str, str, Figure]]:
    if run.history["loss"].notna().any():  # what is counted has none
        yield "loss", "Training loss", loss_curve(run.history)
    metrics = [m for m in run.headline_metrics if f"valid_{m}" in run.history]
    if metrics:
        best = run.metrics.get("best_epoch")
        curves = metric_curves(run.history, metrics, best)
        yield "validation", "Validation metrics", curves
    if run.sparsity is not None:
        groups = sparsity_by_popularity(run.sparsity, run.cost["sparsity"])
        yield "sparsity", "Sparsity of users and items by popularity group", groups
        magnitudes = heat_map(run.sparsity)
        yield "heat_map", "Magnitude of embedding weights, by popularity", magnitudes


def write_figures(run: Run) -> list[tuple[str, pathlib.Path]]:
    """Write the figures of a run to `<run>/figures/*.png`.

    Dense runs have the curves only.

    Returns:
      Caption and file of each.
    """
    folder = run.folder / "figures"
    folder.mkdir(exist_ok=True)
    written = []
    for name, caption, figure in _figures(run):
        file = folder / f"{name}.png"
        figure.savefig(file, format="png")
        written.append((caption, file))
    return written
