"""Figures of a study that are those of single runs, or of all their files."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from dsl_tf.reports import figures, pareto
from dsl_tf.reports.runs import Run
from dsl_tf.studies.drawn import Drawn, with_missing
from dsl_tf.studies.tables import chosen


@dataclasses.dataclass(frozen=True)
class Pareto:
    """Quality against bytes of the `.tflite` files.

    Attributes:
      name: of its files.
      caption: one line.
      metric: of the test set.
      where: labels to the values that cells must have; a tuple: one of them.
    """

    name: str
    caption: str
    metric: str
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def labels(self) -> Collection[str]:
        """See `plan.Exhibit`."""
        return {*self.where}

    def show(self, frame: pd.DataFrame, runs: Mapping[str, Run]) -> Drawn | None:
        """Draw it; see `plan.Exhibit`."""
        cells = chosen(frame, self.where)
        shown = [runs[name] for name in cells.cell if name in runs]
        if not shown or pareto.points(shown, self.metric).empty:
            return None
        caption = with_missing(self.caption, cells)
        return Drawn(self.name, caption, pareto.figure(shown, self.metric))


@dataclasses.dataclass(frozen=True)
class Popularity:
    """How sparse rows are by popularity (DSL Figure 4), of the first cell that fits.

    Attributes:
      name: of its files.
      caption: one line.
      heat_map: the weights of some rows in place of the means of groups.
      where: labels to the values that cells must have; a tuple: one of them.
    """

    name: str
    caption: str
    heat_map: bool = False
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def labels(self) -> Collection[str]:
        """See `plan.Exhibit`."""
        return {*self.where}

    def show(self, frame: pd.DataFrame, runs: Mapping[str, Run]) -> Drawn | None:
        """Draw it; see `plan.Exhibit`."""
        found = [runs[name] for name in chosen(frame, self.where).cell if name in runs]
        sparse = [run for run in found if run.sparsity is not None]
        if not sparse:
            return None
        arrays: Mapping[str, np.ndarray] = sparse[0].sparsity or {}
        if self.heat_map:
            figure = figures.heat_map(arrays)
        else:
            overall = sparse[0].cost["sparsity"]
            figure = figures.sparsity_by_popularity(arrays, overall)
        return Drawn(self.name, self.caption, figure)
