"""A figure of a study, as files and as a part of a page."""

import io
from pathlib import Path
from typing import NamedTuple

import jinja2
from matplotlib.figure import Figure


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


_HTML = jinja2.Environment(autoescape=True).from_string(
    "<figure><figcaption>{{ drawn.caption }}</figcaption>{{ drawing | safe }}</figure>"
)
