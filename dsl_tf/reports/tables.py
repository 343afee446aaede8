"""The short table that a run ends with, and the commands that come next."""

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

import rich.box
import rich.console
import rich.filesize
import rich.table
from matplotlib.ticker import EngFormatter
from rich.cells import cell_len
from rich.measure import Measurement
from rich.text import Text

from dsl_tf.reports.runs import Run

#: Multiply-accumulates, such as `1.53 GMAC`.
macs = EngFormatter(unit="MAC", places=2)

#: A number of instructions with a prefix.
instructions = EngFormatter(places=2)


@dataclasses.dataclass(frozen=True)
class CostRow:
    """One line of the cost table.

    Attributes:
      name: what is counted.
      value: the number with its unit.
      source: how it was found, `"measured"`, `"counted"` or `"derived"`; of a file
        under `budget.bytes` the bytes too that it is held to.
      note: what the number means, or what it leaves out.
      quality: of a model file, the first recall of the rankings it gives.
    """

    name: str
    value: str
    source: str
    note: str = ""
    quality: str = ""


def score(value: float | None) -> str:
    """A metric with four digits; `-` where there is none."""
    return "-" if value is None else f"{value:.4f}"


def plain(value: object) -> str:
    """A value as it is; of a number that is no whole one six digits."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:g}"
    return str(value)


def interval(bounds: tuple[float, float] | None) -> str:
    """A metric's interval, such as `[0.2370, 0.2441]`."""
    return "-" if bounds is None else f"[{bounds[0]:.4f}, {bounds[1]:.4f}]"


def size(num_bytes: float) -> str:
    """Bytes in decimal units, such as `1.3 MB`."""
    return rich.filesize.decimal(int(num_bytes))


def memory(training: dict) -> int:
    """Bytes by which training grew the process over `import dsl_tf`."""
    return training["peak_rss_bytes"] - training["base_rss_bytes"]


def setting(run: Run) -> str:
    """What a metric may not be printed without: protocol, users, selection."""
    parts = [f"protocol {run.protocol}", f"{run.metrics['users']:,} users", run.refit]
    if run.seeds:
        seeds = ", ".join(str(seed) for seed in run.seeds)
        best = run.metrics["best_seed"]
        parts.append(f"mean of seeds {seeds} (costs and files: seed {best})")
    if not run.validated:
        parts.append("last epoch, no validation")
    elif run.metrics.get("best_epoch") is not None:
        epochs = len(run.history)
        parts.append(f"best epoch {run.metrics['best_epoch']} of {epochs} (validation)")
    return "; ".join(parts)


def metric_header(run: Run) -> list[str]:
    """Names of the columns of `metric_rows`."""
    names = ["metric", "test", "95 % interval"]
    names += ["std of seeds"] if run.seeds else []
    return [*names, *run.metrics.get("reference", {}), "validation"]


def metric_rows(run: Run) -> list[list[str]]:
    """A row for each metric, as `metric_header` names it.

    Intervals, deviations and references are those of the test set.
    """
    valid, test = run.metrics["valid"], run.metrics["test"]
    rows = []
    for name in run.metric_names:
        row = [name, score(test[name]), interval(test.get("ci95", {}).get(name))]
        if run.seeds:
            row.append(score(test.get("std", {}).get(name)))
        for reference in run.metrics.get("reference", {}).values():
            row.append(score(reference.get(name)))
        rows.append([*row, score(valid.get(name))])
    return rows


def cost_rows(run: Run) -> list[CostRow]:
    """Every cost of a run, and how it was found."""
    cost, training, inference = run.cost, run.cost["training"], run.cost["inference"]
    base = size(training["base_rss_bytes"])
    return [
        CostRow("parameters", f"{cost['parameters']:,}", "counted", "trainable"),
        CostRow("non-zeros", f"{cost['nonzeros']:,}", "counted"),
        CostRow(
            "sparsity",
            f"{100 * cost['sparsity']:.2f} %",
            "counted",
            "1 - non-zeros / positions of the masked tensors",
        ),
        *(
            CostRow(
                name,
                size(num_bytes),
                _held_to(cost, name),
                "on disk",
                file_quality(run, name),
            )
            for name, num_bytes in cost["files"].items()
        ),
        CostRow(
            "training state",
            size(training["state_bytes"]),
            "counted",
            "weights, masks or positions, and optimiser moments",
        ),
        *activation_rows(training),
        CostRow(
            "training memory",
            size(memory(training)),
            "measured",
            f"peak, over the {base} of the process after its imports",
        ),
        CostRow(
            "training time",
            f"{training['seconds']:,.1f} s",
            "measured",
            f"{training['steps']:,} steps",
        ),
        CostRow(
            "training MACs",
            macs(training["macs"]),
            "derived",
            "forward, backward and optimiser, all steps, from the actual non-zeros",
        ),
        CostRow(
            "inference MACs",
            macs(inference["macs_per_user"]),
            "derived",
            "one user against all items, from the actual non-zeros",
        ),
        CostRow("tables in memory", size(inference["table_bytes"]), "counted"),
    ]


def _held_to(cost: Mapping[str, Any], name: str) -> str:
    """How a file's bytes are known; of one under `budget.bytes` what they keep to."""
    budget = cost.get("budget", {})
    held = f", held to {budget['asked']:,} B" if budget.get("file") == name else ""
    return f"measured{held}"


MAC_HEADER = ("pass", "layer", "forward", "backward", "optimiser", "together")


def mac_rows(run: Run) -> list[list[str]]:
    """Multiply-accumulates of training by pass and layer, under `MAC_HEADER`."""
    rows = []
    # A run may be older than this account.
    for each in run.cost["training"].get("passes", ()):
        for layer, taken in each.get("layers", {}).items():
            parts = [taken[part] for part in ("forward", "backward", "optimizer")]
            texts = [macs(part) if part else "" for part in (*parts, sum(parts))]
            rows.append([pass_name(each), layer, *texts])
    return rows


def pass_name(taken: dict) -> str:
    """What a pass of the account is called; with the run, where another took it."""
    folder = taken.get("read_from")
    return f"{taken['name']} (taken before, in {folder})" if folder else taken["name"]


def activation_rows(training: dict) -> list[CostRow]:
    """A line on whole tables that are dense in a step, of a backbone that has them."""
    num_bytes = training.get("activation_bytes", 0)
    note = "of whole tables that are dense in a step, however sparse the weights are"
    if not num_bytes:
        return []
    return [CostRow("dense activations", size(num_bytes), "counted", note)]


def file_quality(run: Run, name: str) -> str:
    """The first recall that was measured of a model file, or nothing."""
    metrics = run.cost.get("files_metrics", {}).get(name, {})
    recall = quality_name(run)
    return score(metrics[recall]) if recall in metrics else ""


def quality_name(run: Run) -> str:
    """The metric by which files are told apart: the first recall."""
    return next((n for n in run.metric_names if n.startswith("recall@")), "quality")


def next_commands(run: Run) -> list[str]:
    """Commands that go on from a finished run, ready for a shell."""
    folder = str(run.folder)
    main = f"python -m dsl_tf.main {shlex.quote(f'--output_dir={folder}')}"
    user = shlex.quote(f"--user={_some_raw_id(run)}")
    serving = shlex.quote(f"--serving_dir={run.folder / 'serving'}")
    compare = f"python -m dsl_tf.compare {shlex.quote(folder)} OTHER_RUN"
    if not run.cost.get("exportable", True):
        return [compare]
    return [
        f"{main} --mode=recommend {user}",
        f"{main} --mode=export {serving}",
        compare,
    ]


def _some_raw_id(run: Run) -> str:
    """The raw id of the first test user."""
    vocabulary = run.file("vocabulary") / "users.txt"
    if not vocabulary.is_file() or run.per_user.empty:
        return "RAW_ID"
    with vocabulary.open(encoding="utf-8", newline="\n") as lines:
        wanted = run.per_user.index[0]
        ids = (line.rstrip("\n") for row, line in enumerate(lines) if row == wanted)
        return next(ids, "RAW_ID")


def show(
    console: rich.console.Console, header: list[str], rows: list[list[str]]
) -> None:
    """Print a table of text (first column) and numbers (the others).

    Only intervals may take two lines. Where that is still too wide, lines run
    over the terminal's edge: nothing is cut, and a log gets one line a row.
    """
    table = rich.table.Table(box=rich.box.SIMPLE, show_edge=False)
    for position, column in enumerate(zip(header, *rows, strict=True)):
        table.add_column(
            Text(column[0]),
            justify="right" if position else "left",
            min_width=5 if "interval" in column[0] else max(map(cell_len, column)),
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    unlimited = console.options.update(width=10_000)
    smallest, natural = Measurement.get(console, unlimited, table)
    if not console.is_terminal:
        table.width = natural
    elif smallest > console.width:
        table.width = smallest
    console.print(table, crop=False)
    console.print()


def summary(run: Run, console: rich.console.Console) -> None:
    """Print what a run found, what it cost, and what to do next."""
    console.print(Text(run.title), style="bold", soft_wrap=True)
    console.print(Text(setting(run)), soft_wrap=True)
    console.print()
    show(console, metric_header(run), metric_rows(run))
    rows = cost_rows(run)
    costs = [[row.name, row.value, row.source, row.quality] for row in rows]
    header = ["cost", "value", "how", quality_name(run)]
    if not any(row.quality for row in rows):
        header, costs = header[:-1], [row[:-1] for row in costs]
    show(console, header, costs)
    for warning in run.warnings:
        console.print(Text(f"warning: {warning}"), style="yellow", soft_wrap=True)
    console.print(Text("Next commands"), style="bold")
    for command in next_commands(run):
        console.print(Text(f"  {command}"), soft_wrap=True)
    report = run.folder / "report.html"
    if report.is_file():
        console.print(Text(f"Report: {report}"), soft_wrap=True)
