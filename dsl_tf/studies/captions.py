"""What a reader of an exhibit has to know beside its caption."""

from collections.abc import Iterable, Sequence

import pandas as pd

from dsl_tf.studies import gathered

#: After a metric that differs from that of the dense model.
SIGNIFICANT = "*"


def protocols(cells: pd.DataFrame) -> list[str]:
    """How the finished cells were evaluated, in a sentence, if there are any."""
    if "protocol" not in cells:
        return []
    finished = cells.dropna(subset=["protocol"])
    names = ", ".join(sorted(set(finished["protocol"])))
    refits = {True: "trained anew on training and validation", False: "no refit"}
    how = " or ".join(refits[bool(each)] for each in sorted(set(finished["refit"])))
    return [f"{names}; {how}."] if names else []


def significance(rows: Sequence[Sequence[str]]) -> list[str]:
    """What deviations and the sign of a difference mean, where there are any."""
    texts = [text for row in rows for text in row]
    said = []
    if any(" ± " in text for text in texts):
        said.append("±: standard deviation over cells of a row, such as seeds.")
    if any(SIGNIFICANT in text for text in texts):
        said.append(
            f"{SIGNIFICANT}: differs from dense, p < .05 with every seed (paired "
            "bootstrap over users)."
        )
    return said


def absent(cells: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """Columns that no cell has though some are done, in a sentence.

    They may be misspelt, or of a metric that the runs were not asked for.
    """
    missing = [f"`{column}`" for column in columns if column not in cells]
    if not missing or not (cells["status"] == "done").any():
        return []
    return [f"No cell has {', '.join(missing)}."]


def pooled(cells: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    """What cells that are shown as one differ in, beside their seeds; a sentence.

    Args:
      cells: rows of `gathered.frame`.
      labels: that tell cells of an exhibit apart.
    """
    of_run = ("backbone", "data", "method", "sparsity")
    others = [n for n in (*of_run, *gathered.axes(cells)) if n not in labels]
    groups = cells[others].groupby(_alike(cells, labels))
    most = groups.nunique(dropna=False).max()
    mixed = [f"`{name}`" for name in others if most[name] > 1]
    if not mixed:
        return []
    return [f"Means are over cells that differ in {', '.join(mixed)} too."]


def bars(cells: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    """What the bars of a figure are, where it has some; see `pooled`."""
    several = cells.groupby(_alike(cells, labels)).size().max() > 1
    said = "Bars: standard deviation over cells of a point, such as seeds."
    return [said] if several else []


def _alike(cells: pd.DataFrame, labels: Sequence[str]) -> list[pd.Series]:
    return [cells[name].astype(str) for name in labels]
