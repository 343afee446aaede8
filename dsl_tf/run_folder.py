"""The folder of a run: who may write into it, and under which config."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsl_tf import results
from dsl_tf.errors import UserError
from dsl_tf.types import Split


def members(folder: Path, seeds: Sequence[int]) -> list[Path]:
    """The folder of each seed: the run's own where there is one seed."""
    if len(seeds) == 1:
        return [folder]
    return [folder / f"seed_{seed}" for seed in seeds]


def claim(folder: Path, resume: bool, overwrite: bool) -> None:
    """Make sure that nothing is lost: a folder with a run needs a word.

    Raises:
      UserError: the folder holds a run, and neither word was given.
    """
    holds_run = (folder / results.CONFIG).exists() or any(folder.glob("seed_*"))
    if holds_run and overwrite:
        shutil.rmtree(folder)
    elif holds_run and not resume:
        raise UserError(
            "`--output_dir` must not hold a run, unless --resume goes on with it or "
            f"--overwrite deletes it. Received: {folder}."
        )
    folder.mkdir(parents=True, exist_ok=True)


def record(settings: dict[str, Any], folder: Path) -> None:
    """Write `config.json`, or refuse to go on under another one.

    Raises:
      UserError: the folder's run has another config (the key is named) or
        other data.
    """
    if not (folder / results.CONFIG).exists():
        results.write(folder, results.CONFIG, settings)
        return
    before = results.read(folder, results.CONFIG)
    old, new = _flat(before["config"]), _flat(settings["config"])
    for key in sorted(old.keys() | new.keys()):
        if key != "seeds" and old.get(key) != new.get(key):
            raise UserError(
                f"`--resume` needs the config of the run. {key} was {old.get(key)!r}. "
                f"Received: {new.get(key)!r}."
            )
    _check_data(settings["data"], before["data"], folder)


def check_fingerprint(settings: dict[str, Any], split: Split, folder: Path) -> None:
    """Refuse to work on a run with other data than it was trained on."""
    now = {"name": split.name, "fingerprint": split.fingerprint()}
    _check_data(now, settings["data"], folder)


def _check_data(now: dict[str, Any], before: dict[str, Any], folder: Path) -> None:
    if now["fingerprint"] != before["fingerprint"]:
        raise UserError(
            f"{folder} can only go on with the data that it was begun with: "
            f"{before['name']}, sha256 {before['fingerprint'][:12]}…. Received: "
            f"{now['name']}, sha256 {now['fingerprint'][:12]}…."
        )


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
