"""Recommendations written out: to a file, or as a table on the terminal."""

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from dsl_tf.errors import UserError


def write(recommendations: pd.DataFrame, output: Path | None) -> None:
    """Writes recommendations.

    Args:
      recommendations: columns `user` (raw id), `rank` (from 1), `item` (raw
        id) and `score`.
      output: a .csv, .parquet or .json file, replaced if there; None prints.

    Raises:
      UserError: the file's ending is another one.
    """
    if output is None:
        table = Table(*recommendations.columns)
        for row in recommendations.itertuples(index=False):
            table.add_row(row.user, str(row.rank), row.item, f"{row.score:.4f}")
        Console().print(table, markup=False)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    match output.suffix:
        case ".csv":
            recommendations.to_csv(output, index=False)
        case ".parquet":
            recommendations.to_parquet(output, index=False)
        case ".json":
            recommendations.to_json(output, orient="records", force_ascii=False)
        case _:
            raise UserError(
                f"`--output` must end in .csv, .parquet or .json. Received: {output}"
            )
