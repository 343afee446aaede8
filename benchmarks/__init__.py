"""Benchmarks: `python -m benchmarks.NAME [--quick] [--json=FILE]`.

Each module makes rows and hands them to `main`, so all print alike.
"""

import argparse
import json
import pathlib
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Row(NamedTuple):
    """One measured number.

    Attributes:
      name: what was measured.
      setting: on what.
      value: the number, in `unit`.
      unit: such as `"s"`.
      ratio: how many times better than the row it is compared with; None for
        that row itself, and where there is none.
    """

    name: str
    setting: str
    value: float
    unit: str
    ratio: float | None = None


def main(measure: Callable[[bool], Iterable[Row]], description: str) -> None:
    """Prints each row as soon as it is measured; `--json` writes them all.

    Args:
      measure: takes the flag `quick` (smaller settings, seconds in all).
      description: for `--help`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small settings only")
    parser.add_argument("--json", type=pathlib.Path, help="also write the rows here")
    flags = parser.parse_args()
    rows = []
    for row in measure(flags.quick):
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}x"
        line = f"{row.name:<32} {row.setting:<36} {row.value:>10.3g} {row.unit:<12}"
        print(f"{line} {ratio}".rstrip(), flush=True)
        rows.append(row._asdict())
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1) + "\n")
