"""Tables and plots of what the benchmarks measured.

    python -m benchmarks.figures RESULTS.json docs/benchmarks/NAME.png

RESULTS.json is what a benchmark wrote with `--json`; its name (train_step,
exploration or export) says which plot. The table goes to the terminal, in Markdown.
"""

import argparse
import pathlib

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

#: Okabe and Ito's colours, which colour-blind readers can tell apart.
COLORS = ("#5f6b7a", "#E69F00", "#56B4E9", "#0072B2", "#009E73", "#D55E00", "#CC79A7")


def read(path: pathlib.Path) -> pd.DataFrame:
    """One line for each thing measured, one column for each number.

    Rows are named `thing: number`, or have the number at the end of `setting`.
    """
    rows = pd.read_json(path)
    named = rows["name"].str.contains(": ", regex=False)
    split = rows["name"].where(named, rows["name"] + ": ").str.split(": ", n=1)
    rows["thing"], rows["number"] = split.str[0], split.str[1]
    # Of the export: "100,000 x 64 s=0.8 top 20".
    after = rows["setting"].str.extract(r"^(?P<where>.* s=[\d.]+) (?P<number>[a-z].*)$")
    rows["number"] = rows["number"].where(named, after["number"])
    rows["where"] = after["where"].fillna(rows["setting"])
    numbers = rows["number"].fillna("").astype(object)
    rows["number"] = (numbers + ", " + rows["unit"]).str.strip(", ")
    order = list(dict.fromkeys(rows["number"]))
    keys = ["where", "thing"]
    table = rows.pivot_table(index=keys, columns="number", values="value", sort=False)
    ratios = rows.pivot_table(index=keys, columns="number", values="ratio", sort=False)
    return table[order].join(ratios.add_suffix(" ratio")).reset_index()


def markdown(table: pd.DataFrame) -> str:
    """A table with a ratio in brackets behind each number that has one."""
    numbers = [c for c in table.columns[2:] if not c.endswith(" ratio")]
    lines = [["", "", *numbers], ["---", "---", *["---:"] * len(numbers)]]
    for _, row in table.iterrows():
        cells = [row["where"], row["thing"]]
        for number in numbers:
            ratio = row.get(f"{number} ratio")
            value = "" if pd.isna(row[number]) else _digits(row[number])
            cells.append(value if pd.isna(ratio) else f"{value} ({ratio:.2g}x)")
        lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5.2 * count, 4.2), dpi=130, layout="constrained")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e3e6ea")
        axis.set_axisbelow(True)
    return figure, axes


def _bars(axis: Axes, table: pd.DataFrame, number: str, series: str) -> None:
    """Groups of bars, one group for each `where`, on a logarithmic scale."""
    pivot = table.pivot_table(index="where", columns=series, values=number, sort=False)
    pivot.index = [_short(where) for where in pivot.index]
    pivot.plot.bar(ax=axis, color=COLORS[: pivot.shape[1]], width=0.8, legend=False)
    axis.set_yscale("log")
    axis.set_xlabel("")
    axis.set_ylabel(number)
    axis.set_xticks(axis.get_xticks(), pivot.index, rotation=30, ha="right")


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=8, fontsize=9)


def _short(where: str) -> str:
    """`1,000,000 x 64, lazy_adam` as `1M, lazy_adam`."""
    rows, _, rest = where.partition(" x 64")
    count = int(rows.replace(",", ""))
    return (f"{count // 10**6}M" if count >= 10**6 else f"{count // 1000}k") + rest


def train_step(table: pd.DataFrame) -> Figure:
    """Milliseconds and steady memory of a step."""
    figure, axes = _panels(2)
    for axis, number in zip(axes, ("step, ms", "steady, MB"), strict=True):
        _bars(axis, table, number, "thing")
    _legend(figure, axes[0])
    return figure


def exploration(table: pd.DataFrame) -> Figure:
    """Seconds and memory of an exploration."""
    figure, axes = _panels(2)
    table = table[table["thing"].isin(["masked", "packed"])]
    for axis, number in zip(axes, ("seconds, s", "memory, MB"), strict=True):
        _bars(axis, table, number, "thing")
    _legend(figure, axes[0])
    return figure


def export(table: pd.DataFrame) -> Figure:
    """Bytes of a file against the latency of a top 20, and heap after use."""
    figure, axes = _panels(2)
    numbers = ("top 20, ms", "anonymous, after use, MB")
    table = table.assign(
        kind=table["thing"].str.split().str[0],
        sparsity=table["where"].str.extract(r"s=([\d.]+)")[0],
    )
    colors = dict(zip(table["kind"].unique(), ("#E69F00", *COLORS[3:]), strict=False))
    markers = dict(zip(table["sparsity"].unique(), "soD^", strict=False))
    for axis, number in zip(axes, numbers, strict=True):
        for (kind, sparsity), rows in table.groupby(["kind", "sparsity"], sort=False):
            label = kind if sparsity == "0.0" else f"{kind}, s={sparsity}"
            style = {"color": colors[kind], "marker": markers[sparsity], "ls": ":"}
            axis.plot(rows["file, MB"], rows[number], label=label, **style)
        axis.set(xscale="log", yscale="log", xlabel="file, MB", ylabel=number)
        axis.set_xticks([2, 3, 5, 10, 20], ["2", "3", "5", "10", "20"], minor=False)
        axis.xaxis.set_minor_formatter(NullFormatter())
    for _, row in table[table["sparsity"].isin(["0.0", "0.8"])].iterrows():
        label = row["thing"].split()[-1].replace("float", "f").replace("int", "i")
        for axis, number in zip(axes, numbers, strict=True):
            place = (row["file, MB"], row[number])
            axis.annotate(label, place, (4, 3), textcoords="offset points", fontsize=7)
    axes[0].legend(fontsize=7, ncols=2)
    return figure


PLOTS = {"train_step": train_step, "exploration": exploration, "export": export}


def run() -> None:
    parser = argparse.ArgumentParser(description="A table and a plot of a benchmark.")
    parser.add_argument("results", type=pathlib.Path, help="what --json wrote")
    parser.add_argument("picture", type=pathlib.Path, help="the PNG to write")
    flags = parser.parse_args()
    table = read(flags.results)
    print(markdown(table))
    plot = PLOTS.get(flags.results.stem)
    if plot is None:
        print(f"\nPictures are there of {', '.join(PLOTS)}.")
        return
    flags.picture.parent.mkdir(parents=True, exist_ok=True)
    plot(table).savefig(flags.picture)


if __name__ == "__main__":
    run()
