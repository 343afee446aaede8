"""A figure of a study, as files and as a part of a page."""

import io
from pathlib import Path
from typing import NamedTuple

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from dsl_tf.errors import UserError


class Drawn(NamedTuple):
    """A figure that was made."""

    name: str
    caption: str
    figure: Figure

    def write(self, folder: Path) -> None:
        """As `<name>.png` and `<name>.svg`."""
        folder.mkdir(parents=True, exist_ok=True)
        for ending in ("png", "svg"):
            self.figure.savefig(folder / f"{self.name}.{ending}")

    def html(self) -> str:
        """As a part of a page, drawn in lines."""
        stream = io.StringIO()
        self.figure.savefig(stream, format="svg")
        drawing = stream.getvalue()
        drawing = drawing[drawing.index("<svg") :]  # no XML head inside a page
        return _HTML.render(drawn=self, drawing=drawing)


def drawable(cells: pd.DataFrame, *columns: str) -> bool:
    """Whether a figure can be of the columns of some cells.

    Args:
      cells: rows of `gathered.frame`.
      columns: that are drawn.

    Raises:
      UserError: cells are done, but have no such column, or one of text.
    """
    done = (cells["status"] == "done").any()
    for column in columns if done else ():
        if column not in cells or not pd.api.types.is_numeric_dtype(cells[column]):
            raise UserError(
                "What is drawn must be a column of numbers of the study's results.csv, "
                f"whose metrics are those of its runs. Received: {column}."
            )
    return set(columns) <= set(cells)


def with_missing(caption: str, cells: pd.DataFrame) -> str:
    """A caption, with how many of a figure's cells are not in it.

    Args:
      caption: of the figure.
      cells: those that belong in it, with their `status`.
    """
    said = []
    for words, status in (("failed", ("failed",)), ("not done", ("waiting", "begun"))):
        if count := int(cells["status"].isin(status).sum()):
            said.append(f"{count} {words}")
    if not said:
        return caption
    return f"{caption} Of {len(cells)} cells {' and '.join(said)}."


_HTML = jinja2.Environment(autoescape=True).from_string(
    "<figure><figcaption>{{ drawn.caption }}</figcaption>{{ drawing | safe }}</figure>"
)
