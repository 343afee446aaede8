"""Figures of a study that are drawn from its table: lines and points."""

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    NullFormatter,
    PercentFormatter,
    ScalarFormatter,
)

from dsl_tf.reports import figures, tables
from dsl_tf.reports.runs import Run
from dsl_tf.studies import captions
from dsl_tf.studies.drawn import Drawn, drawable, with_missing
from dsl_tf.studies.tables import chosen

#: Okabe and Ito's, which colour-blind readers can tell apart, then others.
_COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    *mpl.color_sequences["tab20b"],
)
_MARKS = "osD^vP*X"

#: Columns that are shares.
_SHARES = ("sparsity", "sparsity.initial_update_ratio", "cost.sparsity")

#: Units of columns that have one.
_UNITS = {"sparsity.update_interval": "steps", "cost.training.seconds": "s"}


@dataclasses.dataclass(frozen=True)
class Lines:
    """A value over another, a line for each method or setting, the mean over seeds.

    Attributes:
      name: of its files.
      caption: one line.
      x: a numeric label, axis or other column.
      y: a column.
      by: labels that a line stands for.
      panels: a label with a panel for each of its values; "": one panel.
      where: labels to the values that cells must have; a tuple: one of them.
      levels: the same, of cells that have no `x`: dashed horizontal lines.
      log: whether the scale of `x` is logarithmic.
    """

    name: str
    caption: str
    x: str
    y: str
    by: Sequence[str] = ("method",)
    panels: str = ""
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    levels: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    log: bool = False

    @property
    def labels(self) -> Collection[str]:
        """See `plan.Exhibit`."""
        return {*self.by, *_some(self.panels), *self.where, *self.levels}

    def show(self, frame: pd.DataFrame, runs: Mapping[str, Run]) -> Drawn | None:
        """Draw it; see `plan.Exhibit`."""
        del runs
        if not drawable(chosen(frame, self.where), self.x, self.y):
            return None
        wanted = chosen(frame, self.where).dropna(subset=[self.x])
        if self.levels:
            wanted = pd.concat([wanted, chosen(frame, self.levels)])
        caption = with_missing(self.caption, wanted)
        frame = frame.dropna(subset=[self.y])
        points = chosen(frame, self.where).dropna(subset=[self.x])
        if points.empty:
            return None
        names = list(dict.fromkeys(points[self.panels])) if self.panels else [""]
        styles = _styles(points, self.by)
        height = 3.6 if len(names) > 1 else 4.4
        figure, axes = figures.panels(len(names), height)
        for axis, name in zip(axes, names, strict=True):
            where = {self.panels: name} if self.panels else {}
            panel = chosen(points, where)
            self._panel(axis, panel, styles)
            if self.levels:
                self._levels(axis, chosen(chosen(frame, where), self.levels), styles)
            axis.set_title(_title(panel, self.panels), fontsize=10)
            axis.set_xlabel(_words(self.x))
        axes[0].set_ylabel(_of_part(self.y))
        _legend(figure, axes)
        labels = [*self.by, self.x, *_some(self.panels)]
        notes = [*captions.pooled(points, labels), *captions.bars(points, labels)]
        return Drawn(self.name, " ".join([caption, *notes]), figure)

    def _panel(
        self, axis: Axes, points: pd.DataFrame, styles: Mapping[str, dict[str, Any]]
    ) -> None:
        for name, group in _groups(points, self.by):
            over = group.groupby(self.x)[self.y]
            mean, spread = over.mean(), over.std(ddof=1)
            style = styles[name] | {"ms": 4, "lw": 1.6}
            x = mean.index.to_numpy(dtype=float)
            if spread.notna().any():
                axis.errorbar(x, mean, spread, label=name, capsize=2, **style)
            else:
                axis.plot(x, mean, label=name, **style)
        if self.log:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(ScalarFormatter())
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_xticks(sorted(set(points[self.x])))
        if self.x in _SHARES:
            axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        elif "bytes" in self.x:
            axis.xaxis.set_major_formatter(EngFormatter("B"))

    def _levels(
        self, axis: Axes, points: pd.DataFrame, styles: Mapping[str, dict[str, Any]]
    ) -> None:
        """Lines of the colour of the curve that they belong to, where there is one."""
        by = [*(label for label in self.levels if label not in self.by), *self.by]
        for label, group in _groups(points, by):
            ((name, _),) = _groups(group, self.by)
            color = styles.get(name, {"color": figures.GREY})["color"]
            axis.axhline(
                group[self.y].mean(), color=color, ls="--", lw=1.2, label=label
            )


@dataclasses.dataclass(frozen=True)
class Loss:
    """Training loss by epoch, a line for each cell's labels; the mean over seeds.

    Attributes:
      name: of its files.
      caption: one line.
      by: labels that a line stands for.
      panels: a label with a panel for each of its values; "": one panel.
      where: labels to the values that cells must have; a tuple: one of them.
    """

    name: str
    caption: str
    by: Sequence[str] = ("method",)
    panels: str = ""
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def labels(self) -> Collection[str]:
        """See `plan.Exhibit`."""
        return {*self.by, *_some(self.panels), *self.where}

    def show(self, frame: pd.DataFrame, runs: Mapping[str, Run]) -> Drawn | None:
        """Draw it; see `plan.Exhibit`."""
        wanted = chosen(frame, self.where)
        frame = wanted[wanted["cell"].isin(runs)]
        if frame.empty:
            return None
        names = list(dict.fromkeys(frame[self.panels])) if self.panels else [""]
        figure, axes = figures.panels(len(names), 3.8)
        styles = _styles(frame, self.by)
        for axis, name in zip(axes, names, strict=True):
            panel = chosen(frame, {self.panels: name} if self.panels else {})
            for label, group in _groups(panel, self.by):
                curves = [runs[cell].history.set_index("epoch") for cell in group.cell]
                # As far as all of them go: what is left alone is no mean.
                losses = pd.concat([c["loss"] for c in curves], axis=1).dropna()
                mean = losses.mean(axis=1)
                color = styles[label]["color"]
                axis.plot(mean.index, mean, color=color, lw=1.5, label=label)
            axis.set_title(_title(panel, self.panels), fontsize=10)
            axis.set_xlabel("epoch")
        axes[0].set_ylabel("training loss")
        _legend(figure, axes)
        labels = [*self.by, *_some(self.panels)]
        caption = " ".join([self.caption, *captions.pooled(frame, labels)])
        return Drawn(self.name, with_missing(caption, wanted), figure)


@dataclasses.dataclass(frozen=True)
class Scatter:
    """One column against another, a point for each cell.

    Attributes:
      name: of its files.
      caption: one line.
      x: a column, on a logarithmic scale.
      y: a column.
      by: labels that a colour stands for.
      where: labels to the values that cells must have; a tuple: one of them.
    """

    name: str
    caption: str
    x: str
    y: str
    by: Sequence[str] = ("method",)
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def labels(self) -> Collection[str]:
        """See `plan.Exhibit`."""
        return {*self.by, *self.where}

    def show(self, frame: pd.DataFrame, runs: Mapping[str, Run]) -> Drawn | None:
        """Draw it; see `plan.Exhibit`."""
        del runs
        if not drawable(chosen(frame, self.where), self.x, self.y):
            return None
        wanted = chosen(frame, self.where)
        frame = wanted.dropna(subset=[self.x, self.y])
        if frame.empty:
            return None
        figure, (axis,) = figures.panels(1, 4.4)
        styles = _styles(frame, self.by)
        for name, group in _groups(frame, self.by):
            axis.plot(
                group[self.x], group[self.y], ls="", ms=6, label=name, **styles[name]
            )
        figures.logarithmic(axis, "{:,g}".format)
        axis.set_xlabel(_words(self.x))
        axis.set_ylabel(_of_part(self.y))
        _legend(figure, [axis])
        return Drawn(self.name, with_missing(self.caption, wanted), figure)


def _some(label: str) -> list[str]:
    return [label] if label else []


def _groups(frame: pd.DataFrame, by: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Parts of a frame by labels, in the order in which they come first."""
    rows = frame[[*by]].itertuples(index=False)
    names = [" ".join(filter(None, map(_named, by, row))) for row in rows]
    return [(name, frame[[n == name for n in names]]) for name in dict.fromkeys(names)]


def _named(label: str, value: Any) -> str:
    """A value, with the name of its key if it is one; nothing where there is none."""
    if pd.isna(value):
        return ""
    text = tables.plain(value)
    if "." in label:
        return f"{label.rpartition('.')[2]}={text}"
    return f"{label} {text}" if label == "sparsity" else text


def _styles(frame: pd.DataFrame, by: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour and a mark for each line, the same in every panel."""
    return {
        name: {"color": color, "marker": mark}
        for (name, _), color, mark in zip(
            _groups(frame, by), itertools.cycle(_COLORS), itertools.cycle(_MARKS)
        )
    }


def _words(column: str) -> str:
    unit = f" ({_UNITS[column]})" if column in _UNITS else ""
    short = column.removeprefix("cost.").removeprefix("sparsity.")
    return short.replace("_", " ").replace(".", " ") + unit


def _of_part(column: str) -> str:
    """The words for a metric, with the part of the data that it is of."""
    part = "validation" if column.startswith("valid_") else "the test set"
    return f"{_words(column.removeprefix('valid_'))} of {part}"


def _title(panel: pd.DataFrame, label: str) -> str:
    """The value of a panel's label; with the data, where a backbone has one alone."""
    if not label:
        return ""
    data = set(panel["data"]) if label == "backbone" else set()
    return " on ".join([str(panel[label].iloc[0]), *(data if len(data) == 1 else ())])


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    found: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            found.setdefault(label, handle)
    if len(found) > 1:
        figure.legend(
            found.values(), found, loc="outside right upper", frameon=False, fontsize=9
        )
