"""Compare finished runs: `python -m dsl_tf.compare RUN RUN ... [--plot=FILE.png]`.

Differences are against the first run, paired over the users of the test set.
Runs that were not asked the same question are refused.
"""

import contextlib
import pathlib
import sys
from collections.abc import Iterator, Sequence

import rich.console
from absl import flags
from rich.text import Text

from dsl_tf import command_line
from dsl_tf.errors import UserError
from dsl_tf.reports import html, pareto, tables
from dsl_tf.reports.comparison import compare, compared_metrics, sections
from dsl_tf.reports.runs import read_run


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
      argv: the program's name, then run folders and flags.

    Returns:
      The exit code: 0, 2 for a user's mistake, 130 for Ctrl-C.
    """
    console = rich.console.Console()
    return command_line.exit_code(lambda: _compare(argv, console))


def _compare(argv: Sequence[str], console: rich.console.Console) -> int:
    values = _define()
    folders = values(list(argv))[1:]
    if values.help:
        console.print(Text(f"{__doc__}\n{values.get_help()}"), soft_wrap=True)
        return 0

    runs = [read_run(folder) for folder in folders]
    frame = compare(runs, values.metric)
    shown = sections(frame, runs)
    for section in shown:
        console.print(Text(section.title), style="bold", soft_wrap=True)
        console.print(Text(section.note), soft_wrap=True)
        console.print()
        tables.show(console, section.header, section.rows)
    if values.csv:
        with _writable(values.csv) as path:
            frame.to_csv(path, index=False)
    if values.html:
        title = f"{len(runs)} runs on {runs[0].data['name']}"
        page = html.render("compare.html.j2", title=title, sections=shown)
        with _writable(values.html) as path:
            path.write_text(page, encoding="utf-8")
    if values.plot:
        with _writable(values.plot) as path:
            pareto.write(runs, compared_metrics(frame)[0], path)
    return 0


def _define() -> flags.FlagValues:
    """The flags, apart from absl's global ones."""
    values = flags.FlagValues()
    values.set_gnu_getopt()
    where = {"flag_values": values}
    flags.DEFINE_list(
        "metric",
        None,
        "Metrics to compare, such as recall@20,ndcg@20. "
        "Recall and NDCG (hit rate where one item is left out) if not given.",
        **where,
    )
    flags.DEFINE_string("csv", None, "Write all numbers to this file.", **where)
    flags.DEFINE_string("html", None, "Write the tables as a page.", **where)
    flags.DEFINE_string(
        "plot",
        None,
        "Draw the first metric against the bytes of the .tflite files, as .png, .svg "
        "or .pdf.",
        **where,
    )
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", **where)
    return values


@contextlib.contextmanager
def _writable(file: str) -> Iterator[pathlib.Path]:
    try:
        yield pathlib.Path(file)
    except OSError as error:
        raise UserError(
            f"An output file must be writable. Received: {file!r} ({error.strerror})."
        ) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv))
