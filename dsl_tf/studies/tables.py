"""Tables of a study: means over seeds, with the paper's numbers beside them."""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
import rich.box
import rich.console
import rich.table
from rich.text import Text

from dsl_tf.reports import tables as texts
from dsl_tf.reports.runs import Run
from dsl_tf.studies import captions


class Value(NamedTuple):
    """What a table shows of its cells.

    Attributes:
      column: of `gathered.frame`.
      header: over it.
      text: of a number.
    """

    column: str
    header: str
    text: Callable[[float], str] = texts.score


RECALL, NDCG = Value("recall@20", "Recall@20"), Value("ndcg@20", "NDCG@20")
HIT = Value("hit@20", "HR@20")
TRAINING_MACS = Value("cost.training.macs", "MACs (training)", texts.macs)
MACS_SHARE = Value("training_macs_share", "MACs, of dense", "{:.1%}".format)
INFERENCE_MACS = Value("cost.inference.macs_per_user", "MACs (a user)", texts.macs)
PUBLISHED_TRAINING = Value(
    "cost.as_published.training_macs", "as the paper counts (training)", texts.macs
)
PUBLISHED_INFERENCE = Value(
    "cost.as_published.inference_macs", "as the paper counts (inference)", texts.macs
)
PUBLISHED_SHARE = Value(
    "as_published_share", "as the paper counts, of dense", "{:.1%}".format
)
SECONDS = Value("cost.training.seconds", "training", lambda s: f"{s:,.0f} s")
STATE = Value("cost.training.state_bytes", "state", texts.size)
STATE_SHARE = Value("state_share", "state, of dense", "{:.1%}".format)
MEMORY = Value("training_memory", "training memory", texts.size)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: a line for each combination of `rows`, one part for each of `columns`.

    Attributes:
      name: of its files.
      caption: one line.
      rows: labels or axes of the frame.
      columns: the same; none: the values alone.
      values: shown in each part.
      where: labels to the values that cells must have; a tuple: one of them.
      paper: published numbers, by the values of `rows` and `columns` and then the
        column; shown beside ours, with the difference.
    """

    name: str
    caption: str
    rows: Sequence[str]
    columns: Sequence[str] = ()
    values: Sequence[Value] = (RECALL, NDCG)
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    paper: Mapping[tuple[object, ...], Mapping[str, float]] = dataclasses.field(
        default_factory=dict
    )

    @property
    def labels(self) -> Collection[str]:
        """See `plan.Exhibit`."""
        return {*self.rows, *self.columns, *self.where}

    def show(self, frame: pd.DataFrame, runs: Mapping[str, Run]) -> "TextTable | None":
        """Make it; see `plan.Exhibit`."""
        del runs
        frame = chosen(frame, self.where)
        if frame.empty:
            return None
        # What a cell's block says nothing of is an empty label, as equal as any other.
        labels = [*self.rows, *self.columns]
        said = frame[labels].astype(object)
        frame = frame.assign(**said.where(said.notna(), ""))
        lines = _nested(frame[[*self.rows]].itertuples(index=False, name=None))
        parts: list[tuple] = [()]
        if self.columns:
            parts = list(dict.fromkeys(frame[[*self.columns]].itertuples(index=False)))
        short = [name.rpartition(".")[2] for name in self.rows]
        header = [
            last if short.count(last) == 1 else name
            for name, last in zip(self.rows, short, strict=True)
        ]
        for part in parts:
            above = ", ".join(
                _label(name, value)
                for name, value in zip(self.columns, part, strict=True)
            )
            header += [" · ".join(filter(None, [above, v.header])) for v in self.values]
        rows, keys = [], []
        for line in lines:
            cells = [(_label("", each), each) for each in line]
            for part in parts:
                wanted = dict(
                    zip([*self.rows, *self.columns], [*line, *part], strict=True)
                )
                group = chosen(frame, wanted)
                paper = self.paper.get((*line, *part), {})
                cells += [_cell(group, value, paper) for value in self.values]
            rows.append([text for text, _ in cells])
            keys.append([key for _, key in cells])
        notes = [
            *captions.protocols(frame),
            *captions.pooled(frame, labels),
            *captions.absent(frame, [value.column for value in self.values]),
            *captions.significance(rows),
        ]
        caption = " ".join([self.caption, *notes])
        begun = bool(frame["status"].isin(["done", "failed"]).any())
        return TextTable(self.name, caption, header, rows, len(self.rows), keys, begun)


#: Characters that LaTeX has a use for.
_LATEX = str.maketrans(
    {sign: rf"\{sign}" for sign in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"\\": r"\textbackslash{}"}
)

#: Between a number and its unit.
_UNIT = re.compile(r"(?<=\d) (?=[A-Za-z])")


class TextTable(NamedTuple):
    """A table as text.

    Attributes:
      name: of its files.
      caption: one line.
      header: of the columns.
      rows: cells.
      labels: how many of the first columns are labels.
      keys: what the page sorts cells by: numbers, whatever unit is shown.
      begun: whether there is anything of ours in it.
    """

    name: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    labels: int
    keys: list[list[object]]
    begun: bool = True

    def write(self, folder: Path) -> None:
        """As `<name>.md` and `<name>.tex`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.md").write_text(self.markdown(), encoding="utf-8")
        frame = pd.DataFrame(self.rows, columns=self.header)
        style = frame.style.hide(axis="index")
        style = style.format(escape="latex").format_index(escape="latex", axis=1)
        places = "l" * self.labels + "r" * (len(self.header) - self.labels)
        caption = self.caption.translate(_LATEX)
        latex = style.to_latex(caption=caption, hrules=True, column_format=places)
        (folder / f"{self.name}.tex").write_text(latex, encoding="utf-8")

    def markdown(self) -> str:
        """As a table of Markdown under its caption."""
        table = rich.table.Table(box=rich.box.MARKDOWN)
        for place, name in enumerate(self.header):
            side = "left" if place < self.labels else "right"
            table.add_column(Text(name), justify=side)  # type: ignore[arg-type]
        for row in self.rows:
            table.add_row(*(Text(cell.replace("|", r"\|")) for cell in row))
        console = rich.console.Console(width=10_000, color_system=None)
        with console.capture() as capture:
            console.print(table)
        lines = [line.rstrip() for line in capture.get().splitlines() if line.strip()]
        return "\n".join([self.caption, "", *lines, ""])

    def html(self) -> str:
        """As a part of a page, where no number is parted from its unit.

        What has nothing of ours in it is folded.
        """
        rows = [
            [_UNIT.sub("\N{NO-BREAK SPACE}", cell) for cell in r] for r in self.rows
        ]
        return _HTML.render(table=self._replace(rows=rows))


_HTML = jinja2.Environment(autoescape=True).from_string(
    """<figure class="plain">
{% if table.begun %}<figcaption>{{ table.caption }}</figcaption>
{% else %}<details><summary>{{ table.caption }} No cell of it is done.</summary>
{% endif %}<div class="scroll"><table class="sortable"><thead><tr>
{%- for name in table.header %}<th{% if loop.index > table.labels %} class="number"
{%- endif %}>{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row in table.rows %}{% set keys = table.keys[loop.index0] %}<tr>
{%- for cell in row %}<td data-value="{{ keys[loop.index0] }}" class="
{{- "number" if loop.index > table.labels else "label" }}">{{ cell }}</td>
{%- endfor %}</tr>
{% endfor %}</tbody></table></div>{% if not table.begun %}</details>{% endif %}
</figure>"""
)


def chosen(frame: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """The rows whose columns have values; a tuple of them is any of these."""
    for column, value in where.items():
        values = value if isinstance(value, tuple) else (value,)
        frame = frame[frame[column].isin(values)]
    return frame


def _nested(rows: Iterable[tuple]) -> list[tuple]:
    """Each row once, those of the same first labels together.

    Labels stay in the order of the grid, whose blocks have some in several places.
    """
    once = list(dict.fromkeys(rows))
    orders = [list(dict.fromkeys(labels)) for labels in zip(*once, strict=True)]

    def places(row: tuple) -> list[int]:
        return [o.index(label) for o, label in zip(orders, row, strict=True)]

    return sorted(once, key=places)


def _cell(
    group: pd.DataFrame, value: Value, paper: Mapping[str, float]
) -> tuple[str, object]:
    """Mean, deviation over seeds, and the paper's number with the difference.

    Returns:
      The text, and the mean; nothing where there is none.
    """
    found = group[value.column].dropna() if value.column in group else group.iloc[:0]
    published = paper.get(value.column)
    if found.empty:
        status = "failed" if (group["status"] == "failed").any() else "-"
        beside = f" (paper {value.text(published)})" if published else ""
        return status + beside, ""
    mean = float(found.mean())
    text = value.text(mean)
    lost = (group["status"] == "failed").sum()
    if len(found) > 1:
        text += f" ± {value.text(float(found.std(ddof=1)))}"
    differs = group.get(f"{value.column}_p_value", pd.Series(dtype=float)).dropna()
    if len(differs) == len(found) and (differs < 0.05).all():
        text += captions.SIGNIFICANT
    if lost:
        text += f" [{lost} of {len(group)} failed]"
    elif len(found) < len(group):
        text += f" [{len(found)} of {len(group)} done]"
    if published:
        text += f" (paper {value.text(published)}, {mean / published - 1:+.1%})"
    return text, mean


def _label(name: str, value: object) -> str:
    short = name.rpartition(".")[2]
    text = texts.plain(value)
    return f"{short} {text}" if short in _NUMBERED else text


#: Labels whose values say nothing without their name.
_NUMBERED = (
    *("sparsity", "seed", "update_interval", "initial_update_ratio"),
    *("embedding_dim", "num_layers"),
)
