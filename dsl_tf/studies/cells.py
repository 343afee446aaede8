"""The folder of a cell: how far it is, and why it failed."""

import dataclasses
import enum
import json
import shutil
from pathlib import Path
from typing import Any

from dsl_tf import config_files, provenance
from dsl_tf.errors import UserError
from dsl_tf.files import replacing, write_json
from dsl_tf.studies.grid import Cell

#: What a run writes last.
LAST = "report.html"

#: What is beside a run: its instructions, and where it was copied from.
_COUNTS, _SOURCE = "perf", "source.json"


class Status(enum.StrEnum):
    """How far a cell is."""

    WAITING = "waiting"
    BEGUN = "begun"
    FAILED = "failed"
    DONE = "done"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a cell's run is, with its log and its failure beside it.

    Args:
      root: the study's folder.
      cell: the cell.
    """

    root: Path
    cell: Cell

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.root / "cells" / self.cell.name

    @property
    def log(self) -> Path:
        """What its process printed."""
        return _beside(self.folder, "log")

    @property
    def counts(self) -> Path:
        """Instructions that its processes took, see `instructions`."""
        return _beside(self.folder, _COUNTS)

    @property
    def source(self) -> str:
        """The run of another study that it was copied from; "" where it was made."""
        return source(self.folder)

    @property
    def status(self) -> Status:
        """How far it is; a failure counts until the cell is begun again."""
        if (self.folder / LAST).is_file():
            return Status.DONE
        if self._failure.is_file():
            return Status.FAILED
        begun = (self.folder / provenance.FILE).is_file()
        return Status.BEGUN if begun else Status.WAITING

    @property
    def error(self) -> str:
        """Why it failed, in one line; nothing where it did not."""
        if self.status is not Status.FAILED:
            return ""
        return str(json.loads(self._failure.read_text("utf-8"))["error"])

    def cost(self) -> dict[str, Any]:
        """`cost.json` of the finished run."""
        content: dict[str, Any] = json.loads(
            (self.folder / "cost.json").read_text("utf-8")
        )
        return content

    def check(self) -> None:
        """Make sure that a run which is there is that of the cell.

        Raises:
          UserError: it has another config, or it is no run.
        """
        if not (self.folder / provenance.FILE).is_file():
            return
        before = config_files.effective(provenance.read(self.folder)["config"])
        now = config_files.effective(self.cell.settings())
        for key in before:
            if before[key] != now.get(key):
                raise UserError(
                    f"{self.folder} must hold a run of this study, whose `{key}` is "
                    f"{now.get(key)!r}; delete it, or use another --output_dir. "
                    f"Received: {before[key]!r}."
                )

    def take(self, other: Path) -> None:
        """Copy a finished run of another study here, with where it came from.

        Args:
          other: its run folder.
        """
        self.begin()
        write_json(self._source, {"folder": source(other) or str(other)})
        if (counts := _beside(other, _COUNTS)).is_file():
            shutil.copy(counts, self.counts)
        with replacing(self.folder) as partial:
            shutil.copytree(other, partial)
            # It may be one of a run of several seeds.
            settings = provenance.read(partial)
            settings["config"]["seeds"] = [settings["seed"]]
            write_json(partial / provenance.FILE, settings)

    def begin(self) -> int:
        """Forget a failure, and what a run took that is not there any more.

        Makes the folder's parent.

        Returns:
          Bytes of the log so far, for `fail`.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._failure.unlink(missing_ok=True)
        if not (self.folder / provenance.FILE).is_file():
            self.counts.unlink(missing_ok=True)
            self._source.unlink(missing_ok=True)
        return self.log.stat().st_size if self.log.is_file() else 0

    def fail(self, exit_code: int, since: int = 0) -> None:
        """Keep why it failed: the last line of its log that says something.

        Args:
          exit_code: of its process.
          since: bytes of the log that are of earlier ones.
        """
        lines = self.log.read_bytes()[since:].decode("utf-8", "replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        error = said[-1].removeprefix("Error: ") if said else "it printed nothing"
        if exit_code < 0:
            error = f"killed by signal {-exit_code}, after: {error}"
        write_json(self._failure, {"exit_code": exit_code, "error": error})

    @property
    def _source(self) -> Path:
        return _beside(self.folder, _SOURCE)

    @property
    def _failure(self) -> Path:
        return _beside(self.folder, "failed.json")


def source(folder: Path) -> str:
    """The run that one in a study was copied from; "" where it was made there."""
    file = _beside(folder, _SOURCE)
    if not file.is_file():
        return ""
    return str(json.loads(file.read_text("utf-8"))["folder"])


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}.{what}")
