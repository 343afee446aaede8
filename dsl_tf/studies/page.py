"""What a study leaves in its folder: a table, exhibits, and one page with all."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from dsl_tf.errors import UserError
from dsl_tf.files import replacing
from dsl_tf.reports import html, tables
from dsl_tf.reports.runs import Run
from dsl_tf.studies import compared, gathered
from dsl_tf.studies.cells import Place, Status
from dsl_tf.studies.plan import Study

RESULTS, LAYERS, PAGE = "results.csv", "layers.csv", "index.html"

#: The tables beside the page, and what is in them.
_FILES = (
    {"name": RESULTS, "holds": "a row a cell"},
    {"name": LAYERS, "holds": "multiply-accumulates by cell, pass and layer"},
)

#: Columns of the page's table, beside labels and metrics, with their heads.
_COSTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "cost.training.macs": ("MACs", tables.macs),
    "training_macs_share": ("of dense", "{:.1%}".format),
    "cost.as_published.training_macs": ("as the paper counts", tables.macs),
    "as_published_share": ("of dense", "{:.1%}".format),
    "cost.training.seconds": ("training", lambda s: f"{s:,.0f} s"),
    "training_memory": ("training memory", tables.size),
    "cost.training.state_bytes": ("state", tables.size),
    "instructions": ("instructions", tables.instructions),
    "cost.nonzeros": ("non-zeros", lambda n: f"{n:,.0f}"),
    "cost.files.model.tflite": ("model.tflite", tables.size),
    "cost.files.model_int8.tflite": ("model_int8.tflite", tables.size),
}

#: In the place of an exhibit that cannot be made.
_LOST = Markup(
    "<figure><figcaption>{1}</figcaption><p>{0} could not be made: {2}</p></figure>"
)


def check(name: str, study: Study, places: Sequence[Place]) -> None:
    """Make sure that the exhibits can be made, before the runs take their hours.

    Raises:
      UserError: one asks for a label that the grid does not give.
    """
    known = list(gathered.frame(name, places, {}).columns)
    for exhibit in study.exhibits:
        for label in sorted(exhibit.labels):
            if label not in known:
                raise UserError(
                    f"The labels of {exhibit.name} must be among those of the study: "
                    f"{', '.join(known)}. Received: {label}."
                )


def write_results(
    root: Path,
    name: str,
    places: Sequence[Place],
    known: compared.Known,
    found: Mapping[str, Run] | None = None,
) -> pd.DataFrame:
    """Write `results.csv`, a row a cell, finished or not, and `layers.csv`.

    Args:
      root: the study's folder.
      name: of the study.
      places: of its cells.
      known: comparisons from before; those that are new are added.
      found: `gathered.runs`, where they have been read.
    """
    found = gathered.runs(places) if found is None else found
    frame = gathered.frame(name, places, found, known)
    layers = gathered.layers(name, places, found)
    for file, table in ((RESULTS, frame), (LAYERS, layers)):
        with replacing(root / file) as partial:
            table.to_csv(partial, index=False)
    return frame


def write(
    root: Path,
    name: str,
    study: Study,
    places: Sequence[Place],
    known: compared.Known,
) -> Path:
    """Write all that can be made of the cells that are done.

    In the place of an exhibit that fails is the reason: what it is of is there.

    Args:
      root: the study's folder.
      name: of the study.
      study: what its exhibits are.
      places: of its cells.
      known: see `write_results`.

    Returns:
      The page.
    """
    runs = gathered.runs(places)
    frame = write_results(root, name, places, known, runs)
    exhibits = []
    for exhibit in study.exhibits:
        try:
            shown = exhibit.show(frame, runs)
        except Exception as error:  # the runs go on without it
            exhibits.append(_LOST.format(exhibit.name, exhibit.caption, error))
            continue
        if shown is not None:
            shown.write(root / "exhibits")
            exhibits.append(Markup(shown.html()))
    header, rows = _cells(frame, places, runs)
    page = html.render(
        "study.html.j2",
        title=study.title,
        name=name,
        study=study,
        cards=_cards(frame, runs),
        exhibits=exhibits,
        failures=[
            (place.cell.name, place.error)
            for place in places
            if place.status is Status.FAILED
        ],
        header=header,
        rows=rows,
        files=_FILES,
    )
    with replacing(root / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
    return root / PAGE


def _cards(frame: pd.DataFrame, runs: Mapping[str, Run]) -> list[dict[str, str]]:
    counts = frame["status"].value_counts()
    failed = counts.get("failed", 0)
    done = counts.get("done", 0)
    cards = [
        {
            "name": "cells done",
            "value": f"{done} of {len(frame)}",
            "note": f"{failed} failed" if failed else "none failed",
        }
    ]
    if not runs:
        return cards
    training = [run.cost["training"] for run in runs.values()]
    seconds = sum(each["seconds"] for each in training)
    shared = sum(each.get("seconds_of_other_runs", 0) for each in training)
    macs = sum(each["macs"] for each in training)
    counted = "measured, every pass of every method"
    if shared:
        counted += f"; {shared / 60:,.1f} min are of passes that another took too"
    protocols = sorted({run.protocol for run in runs.values()})
    return [
        *cards,
        {
            "name": "training",
            "value": f"{seconds / 60:,.1f} min",
            "note": f"{counted}; {tables.macs(macs)}",
        },
        {
            "name": "protocol",
            "value": ", ".join(protocols),
            "note": "epochs are chosen on validation"
            if all(run.validated for run in runs.values())
            else "some runs have no validation: they take their last epoch",
        },
    ]


def _cells(
    frame: pd.DataFrame, places: Sequence[Place], runs: Mapping[str, Run]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    labels = ["backbone", "data", "method", "sparsity", "seed", *gathered.axes(frame)]
    columns: list[tuple[str, str, Callable[[Any], str]]] = [
        (n, n.rpartition(".")[2], str) for n in [*labels, "status"]
    ]
    for metric in gathered.headlines(runs):
        columns.append((metric, metric, tables.score))
        if f"{metric}_p_value" in frame:
            columns.append((f"{metric}_difference", "to dense", "{:+.4f}".format))
            columns.append((f"{metric}_p_value", "p", "{:.3f}".format))
    columns += [
        (name, head, text)
        for name, (head, text) in _COSTS.items()
        if name in frame and frame[name].notna().any()
    ]
    if "warnings" in frame and frame["warnings"].fillna("").any():
        columns.append(("warnings", "note", str))
    if frame["search"].any():
        columns.append(("search", "tuned", str))
    numeric = {c for c, *_ in columns if pd.api.types.is_numeric_dtype(frame[c])}
    rows = []
    for place, record in zip(places, frame.to_dict("records"), strict=True):
        cells = [
            {
                "text": _text(record[column], text),
                "value": "" if pd.isna(record[column]) else record[column],
                "numeric": column in numeric,
                "status": column == "status",
            }
            for column, _, text in columns
        ]
        rows.append(
            {
                "cells": cells,
                "command": record["command"],
                "config": str(place.cell.config),
            }
        )
    return [{"name": h, "numeric": c in numeric} for c, h, _ in columns], rows


def _text(value: Any, text: Callable[[Any], str]) -> str:
    if pd.isna(value):
        return "-"
    return tables.plain(value) if text is str else text(value)
