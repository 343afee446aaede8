"""Pages that need nothing beside them: styles and figures are inside.

Whatever comes from outside (raw ids, names, paths) is escaped by the template
engine.
"""

import base64
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
import pandas as pd

from dsl_tf.files import replacing
from dsl_tf.reports import figures, tables
from dsl_tf.reports.runs import Run, read_run

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("dsl_tf", "reports"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **context: Any) -> str:
    """Fill a template of this package; every value is escaped."""
    return _TEMPLATES.get_template(template).render(**context)


def write_report(folder: str | pathlib.Path) -> pathlib.Path:
    """Write `report.html` and `figures/*.png` of a finished run.

    Returns:
      The page.

    Raises:
      UserError: the folder holds no finished run.
    """
    run = read_run(folder)
    page = render(
        "report.html.j2",
        title=run.title,
        run=run,
        setting=tables.setting(run),
        headlines=_headlines(run),
        metric_header=tables.metric_header(run),
        metric_rows=tables.metric_rows(run),
        costs=tables.cost_rows(run),
        quality=tables.quality_name(run),
        mac_header=tables.MAC_HEADER,
        mac_rows=tables.mac_rows(run),
        config=list(_flat(run.config)),
        provenance=_provenance(run),
        history=_history(run.history),
        figures=[(caption, _data_url(f)) for caption, f in figures.write_figures(run)],
        commands=tables.next_commands(run),
        saved_model=_literal(run, "saved_model"),
        lite_model=_literal(run, "model.tflite"),
        items=_literal(run, "vocabulary/items.txt"),
    )
    file = run.folder / "report.html"
    with replacing(file) as partial:  # its presence says: finished
        partial.write_text(page, encoding="utf-8")
    return file


def _headlines(run: Run) -> list[dict[str, str]]:
    """The cards on top: name, value and what to hold against it."""
    test = run.metrics["test"]
    cards = []
    for name in run.metric_names:
        if name not in run.headline_metrics:
            continue
        notes = []
        if name in test.get("ci95", {}):
            notes.append(f"95 % interval {tables.interval(test['ci95'][name])}")
        if run.seeds:
            notes.append(f"std over seeds {tables.score(test['std'].get(name))}")
        notes += [
            f"{reference} {tables.score(metrics.get(name))}"
            for reference, metrics in run.metrics.get("reference", {}).items()
        ]
        value = tables.score(test[name])
        cards.append({"name": name, "value": value, "note": "\n".join(notes)})
    wanted = {"sparsity", "model.tflite", "training state", "training time"}
    cards += [
        {"name": row.name, "value": row.value, "note": row.source}
        for row in tables.cost_rows(run)
        if row.name in wanted
    ]
    return cards


def _flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Keys as they are written on the command line, with their values."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value)


def _provenance(run: Run) -> list[tuple[str, str]]:
    settings = run.settings
    rows = [("command", settings.get("command")), ("seed", settings.get("seed"))]
    rows.append(("git commit", settings.get("git_commit")))
    rows += [(f"data {k}", v) for k, v in run.data.items() if k != "warnings"]
    rows += [(f"version of {k}", v) for k, v in settings.get("versions", {}).items()]
    return [
        (name, f"{value:,}" if type(value) is int and name != "seed" else str(value))
        for name, value in rows
        if value is not None
    ]


def _history(history: pd.DataFrame) -> dict[str, list]:
    """Header and cells; columns without a value (dense runs) are left out."""
    shown = history.dropna(axis="columns", how="all")
    texts = {name: column.map(_number) for name, column in shown.astype(object).items()}
    return {"header": list(texts), "rows": list(zip(*texts.values(), strict=True))}


def _number(value: float) -> str:
    whole = isinstance(value, int) or abs(value) >= 1000
    return f"{value:,.0f}" if whole else f"{value:.5g}"


def _data_url(file: pathlib.Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"


def _literal(run: Run, name: str) -> str | None:
    """A file's path as a Python literal, or None if the run did not write it."""
    return repr(str(run.file(name))) if run.file(name).exists() else None
