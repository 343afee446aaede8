"""The folder of a run: who may write into it, and under which config."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import config_dict

from dsl_tf import plugins, provenance, results
from dsl_tf.config_files import effective
from dsl_tf.errors import UserError
from dsl_tf.export import artefacts
from dsl_tf.methods.base import CHECKPOINTS
from dsl_tf.types import Split

REPORT = "report.html"

#: All that a run writes into its folder; `--overwrite` deletes nothing else. By the
#: last one a folder is known to hold a run, however little of it is left.
OWN = (
    results.METRICS,
    results.COST,
    results.HISTORY,
    results.PER_USER,
    results.SPARSITY,
    CHECKPOINTS,
    REPORT,
    "figures",
    "vocabulary",
    *artefacts.FORMATS.values(),
    results.CONFIG,
)


def members(folder: Path, seeds: Sequence[int]) -> list[Path]:
    """The folder of each seed: the run's own where there is one seed.

    Raises:
      UserError: the seeds are not different numbers from 0.
    """
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UserError(
            "`seeds` must be one or more different numbers from 0. "
            f"Received: {','.join(map(str, seeds))}."
        )
    if len(seeds) == 1:
        return [folder]
    return [folder / f"seed_{seed}" for seed in seeds]


def found_members(folder: Path) -> list[Path]:
    """The folders of a run that is there, as `members` orders them; or none."""
    if (folder / results.CONFIG).exists():
        return [folder]
    folders = [
        each for each in folder.glob("seed_*") if (each / results.CONFIG).exists()
    ]
    if not folders:
        return []
    return members(folder, provenance.read(folders[0])["config"]["seeds"])


def claim(
    folder: Path, config: config_dict.ConfigDict, resume: bool, overwrite: bool
) -> None:
    """Make sure that nothing is lost: a folder with a run needs a word.

    Args:
      folder: may be missing, and may hold other things than a run.
      config: of the run that wants the folder.
      resume: go on with the folder's run, if it has one of this config.
      overwrite: the folder's run may be deleted, see `clear`.

    Raises:
      UserError: the folder holds a run and neither word was given, a run of
        another config (the key is named), a `config.json` that is no run's, or no
        run, but what has the name of something that a run writes.
    """
    there = found_members(folder)
    begun = [each for each in there if (each / results.CONFIG).exists()]
    for each in begun:
        before = provenance.read(each)["config"]
        if resume:
            _check_config(before, json.loads(config.to_json_best_effort()))
    if begun and not (resume or overwrite):
        raise UserError(
            "`--output_dir` must not hold a run, unless --resume goes on with it or "
            f"--overwrite deletes it. Received: {folder}."
        )
    if not begun:
        # A run would take it for its own, and delete it if it is refused.
        for each in dict.fromkeys([folder, *members(folder, config.seeds)]):
            for name in OWN:
                if (each / name).exists():
                    raise UserError(
                        "`--output_dir` must hold a run, or nothing that has the name "
                        f"of what a run writes. Received: {each / name}."
                    )
    folder.mkdir(parents=True, exist_ok=True)


def clear(folder: Path) -> None:
    """Delete what the run in a folder wrote, if there is one, and nothing else."""
    if there := found_members(folder):
        for each in dict.fromkeys([*there, folder]):
            _delete_run(each)
    folder.mkdir(parents=True, exist_ok=True)


def record(settings: dict[str, Any], folder: Path) -> None:
    """Write `config.json`, or refuse to go on with other data.

    Raises:
      UserError: the folder's run was begun with other data.
    """
    if (folder / results.CONFIG).exists():
        _check_data(settings["data"], provenance.read(folder)["data"], folder)
    else:
        results.write(folder, results.CONFIG, settings)


@contextlib.contextmanager
def recorded(settings: dict[str, Any], folder: Path) -> Iterator[None]:
    """Within it a run is recorded; one that is refused before it trained is forgotten.

    So the same command, corrected, needs no word.

    Raises:
      UserError: as `record`; and what the block raises.
    """
    record(settings, folder)
    try:
        yield
    except UserError:
        steps = (folder / CHECKPOINTS).glob("*/step-*")
        if not any(steps) and not (folder / results.METRICS).exists():
            _delete_run(folder)
        raise


def check_fingerprint(settings: dict[str, Any], split: Split, folder: Path) -> None:
    """Refuse to work on a run with other data than it was trained on."""
    now = {"name": split.name, "fingerprint": split.fingerprint()}
    _check_data(now, settings["data"], folder)


def check_teacher(
    config: config_dict.ConfigDict, method: ModuleType, split: Split
) -> None:
    """Refuse to learn from a run that knows more than it may, or is another model.

    Args:
      config: of the run that learns, if it does.
      method: its method's module.
      split: of the run that learns.

    Raises:
      UserError: there is no run, it is of another method, its tables score otherwise
        than those of the config would, or it was trained on other data, which may have
        what this one is tested on.
    """
    found = getattr(method, "teacher_folder", lambda _: "")(config)
    if not found:
        return
    folder = Path(found)
    settings = provenance.read(folder)
    of_teacher = settings["config"]["method"]["name"]
    if of_teacher != "dense":
        raise UserError(
            "The teacher must be a run with method.name=dense. Received: "
            f"{of_teacher} in {folder}."
        )
    model = settings["config"]["model"]
    backbone = plugins.find("dsl_tf.backbones", config.model.name, "backbone")
    for key in ("name", *getattr(backbone, "SCORED_BY", ())):
        if model.get(key) != config.model[key]:
            raise UserError(
                f"The teacher must be a run with model.{key}={config.model[key]}. "
                f"Received: {model.get(key)} in {folder}."
            )
    now, before = split.fingerprint(), settings["data"]["fingerprint"]
    if now != before:
        raise UserError(
            f"The teacher must be trained on the same split, {split.name}, sha256 "
            f"{now[:12]}…. Received: {settings['data']['name']}, sha256 "
            f"{before[:12]}…, in {folder}."
        )


def _check_config(before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = effective(before), effective(now)
    for key in ("method.name", *sorted(old.keys() | new.keys())):
        if old.get(key) != new.get(key):
            raise UserError(
                f"`--resume` needs the config of the run. `{key}` was "
                f"{old.get(key)!r}. Received: {new.get(key)!r}."
            )


def _check_data(now: dict[str, Any], before: dict[str, Any], folder: Path) -> None:
    if now["fingerprint"] != before["fingerprint"]:
        raise UserError(
            f"{folder} can only go on with the data that it was begun with: "
            f"{before['name']}, sha256 {before['fingerprint'][:12]}…. Received: "
            f"{now['name']}, sha256 {now['fingerprint'][:12]}…."
        )


def _delete_run(folder: Path) -> None:
    """Delete what a run wrote; the folder too, if nothing else was in it."""
    if not folder.is_dir():
        return
    for name in OWN:
        for path in (folder / name, *folder.glob(f".{name}.*")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
