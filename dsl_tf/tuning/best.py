"""The best values that searches found, and the runs that they are for."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from dsl_tf import config_files
from dsl_tf.errors import UserError
from dsl_tf.files import write_json

#: What it is called in the folder of a search.
FILE = "best.json"

#: A key that a search may set and that its values are not for alone.
_SEEDS = "seeds"


@dataclasses.dataclass(frozen=True)
class Best:
    """The best trial of a search.

    Attributes:
      folder: of the search.
      file: its config file, with its `:DATA`.
      fixed: keys that its command set for all trials, to their values, and its method.
      settings: keys that it varied, to the values of the trial.
      value: on validation.
      trial: its number.
    """

    folder: Path
    file: str
    fixed: Mapping[str, Any]
    settings: Mapping[str, Any]
    value: float
    trial: int

    def write(self) -> None:
        """Write `best.json` to its folder."""
        content = dataclasses.asdict(self)
        del content["folder"]
        write_json(self.folder / FILE, content)

    @property
    def said(self) -> dict[str, Any]:
        """Keys that tell which runs it is for."""
        return {key: each for key, each in self.fixed.items() if key != _SEEDS}

    def serves(self, file: str, config: config_dict.ConfigDict) -> bool:
        """Whether it was searched for runs like this one.

        Args:
          file: config file of the run, with its `:DATA`.
          config: of the run.
        """
        try:
            if _source(file) != _source(self.file):
                return False
        except UserError:  # it is not there any more
            return False
        values = config_files.flatten(config)
        return all(
            key in values and _plain(values[key]) == _plain(each)
            for key, each in self.said.items()
        )


def read(root: Path) -> list[Best]:
    """Those of a search's folder, or of all that a folder has, by their names.

    Raises:
      UserError: there is none, or one that this version did not write.
    """
    files = [root / FILE] if (root / FILE).exists() else sorted(root.glob(f"*/{FILE}"))
    if not files:
        raise UserError(
            "`--tuned` must be the folder of a search or of several, which `python -m "
            f"dsl_tf.tune` makes. Received: {root}, without a {FILE}."
        )
    return [_read(file) for file in files]


def _read(file: Path) -> Best:
    try:
        content = json.loads(file.read_text("utf-8"))
        content["settings"] = {k: _typed(v) for k, v in content["settings"].items()}
        return Best(folder=file.parent, **content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"A search's {FILE} must say what it is of, as this version writes it: the "
            "same `python -m dsl_tf.tune` once more writes it anew. "
            f"Received: {file}."
        ) from None


def find(
    found: Sequence[Best], file: str, config: config_dict.ConfigDict
) -> Best | None:
    """The one whose command says most of what the run is; None where none serves.

    Args:
      found: of several searches.
      file: config file of the run, with its `:DATA`.
      config: of the run.

    Raises:
      UserError: two say as much.
    """
    serving = [each for each in found if each.serves(file, config)]
    most = max((len(each.said) for each in serving), default=0)
    nearest = [each for each in serving if len(each.said) == most]
    if len(nearest) > 1:
        raise UserError(
            "Of two searches for the same run one must have more keys on its command "
            f"line. Received: {nearest[0].folder} and {nearest[1].folder}."
        )
    return nearest[0] if nearest else None


def _source(file: str) -> tuple[Path, str]:
    path, _, data = file.partition(":")
    return config_files.find(path).resolve(), data


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(value))


def _typed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
