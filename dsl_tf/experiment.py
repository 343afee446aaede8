"""A whole experiment: data, split, training, evaluation, costs, export, report."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import rich.console
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict
from rich.text import Text

from dsl_tf import config_files, data, locks, plugins, results, run_folder
from dsl_tf import recommend as recommendations
from dsl_tf.accounting import size
from dsl_tf.errors import UserError
from dsl_tf.evaluation import protocols
from dsl_tf.evaluation.ranking import Score
from dsl_tf.export import artefacts, saved_model
from dsl_tf.export.frozen import freeze
from dsl_tf.export.saved_model import ServingModule
from dsl_tf.methods import base as methods
from dsl_tf.provenance import read as read_settings
from dsl_tf.reports import html, runs, tables
from dsl_tf.training.evaluator import Evaluator
from dsl_tf.training.shared import SharedPasses
from dsl_tf.types import Split

#: This process after its imports and before any work.
BASE_RSS_BYTES = size.rss_bytes()


def train(
    config: config_dict.ConfigDict,
    output_dir: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    shared_passes: Path | None = None,
) -> None:
    """Run an experiment for each of its seeds and write the run folder.

    Args:
      config: see `configs/base.py`.
      output_dir: the run folder.
      resume: go on where an earlier run stopped; a finished one is shown.
      overwrite: delete the run that the folder holds, and nothing else.
      command: the command line, for the record.
      shared_passes: a folder of passes that several runs take alike, which are read
        from there and kept there.

    Raises:
      UserError: the folder holds a run and neither is given, or one of another
        config; another process writes to it; or config or data are wrong.
      KeyboardInterrupt: stopped by a signal, after a checkpoint.
    """
    console = rich.console.Console()
    members = run_folder.members(output_dir, config.seeds)
    config_files.check_names(config_files.flatten(config))
    artefacts.check(**_export_settings(config))
    with locks.held(output_dir):
        run_folder.claim(output_dir, config, resume, overwrite)
        split = _load(config, console)
        if overwrite:  # not before it is known that there is something to train on
            run_folder.clear(output_dir)
        for seed, folder in zip(config.seeds, members, strict=True):
            shared = SharedPasses(shared_passes, folder) if shared_passes else None
            _run(config, split, seed, folder, command, console, shared)
        results.gather(output_dir, members)
    tables.summary(runs.read_run(output_dir), console)


def _run(
    config: config_dict.ConfigDict,
    split: Split,
    seed: int,
    folder: Path,
    command: str,
    console: rich.console.Console,
    shared: SharedPasses | None,
) -> None:
    """One seed, from the first step that its folder lacks."""
    settings = results.settings(config, split, seed, command)
    with run_folder.recorded(settings, folder):
        if not (folder / run_folder.REPORT).exists():
            _take_steps(config, split, seed, folder, console, shared)


def _take_steps(
    config: config_dict.ConfigDict,
    split: Split,
    seed: int,
    folder: Path,
    console: rich.console.Console,
    shared: SharedPasses | None,
) -> None:
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    method = plugins.find("dsl_tf.methods", config.method.name, "method")
    run_folder.check_teacher(config, method, split)
    checkpoints = folder / methods.CHECKPOINTS
    asked = config_files.flatten(config)
    config = methods.settled(checkpoints, config, method, split, seed)
    if config.budget.bytes:
        now = config_files.flatten(config).items()
        picked = ", ".join(f"{k}={each}" for k, each in now if each != asked.get(k))
        console.print(f"budget.bytes picks {picked}", highlight=False, soft_wrap=True)
    accept = functools.partial(
        artefacts.check_backbone,
        formats=config.export.formats,
        table_bytes=config.export.table_bytes,
    )
    task = methods.Task(split, seed, checkpoints, console, accept, shared=shared)
    trained = methods.train(task, config, method.train)
    results.write_history(folder, trained.selection)
    if not (folder / results.METRICS).exists():  # the test set is read once
        with console.status("Evaluating on the test set …"):
            _evaluate(config, split, trained, folder)
    cost = results.costs(trained, BASE_RSS_BYTES)
    # Before any file is: an export that fails can be asked for again, in other formats.
    results.write(folder, results.COST, cost | {"files": {}})
    with console.status("Exporting …"):
        _export(config, split, trained, folder, cost)
    html.write_report(folder)


def _evaluate(
    config: config_dict.ConfigDict, split: Split, trained: methods.Trained, folder: Path
) -> None:
    # After a refit the validation part is masked as training is: the test
    # masks both, whichever part an item is in.
    test = Evaluator(trained.model, config, split, "test")()
    results.write_per_user(folder, test)
    if trained.model.sparse_weights():
        results.write_sparsity(folder, trained.model, trained.split)
    # Last: where it is, nothing of the evaluation is missing.
    metrics = results.metrics(config, trained, split, test)
    results.write(folder, results.METRICS, metrics)


def _export(
    config: config_dict.ConfigDict,
    split: Split,
    trained: methods.Trained,
    folder: Path,
    cost: dict[str, Any],
) -> None:
    if not trained.model.exportable:
        results.write(folder, results.COST, cost | {"files": {}, "exportable": False})
        return
    protocol = protocols.find(config.evaluation.protocol)
    cutoffs = tuple(config.evaluation.cutoffs)

    def measure(score: Score) -> Mapping[str, float]:
        return protocol.evaluate(score, split, "test", cutoffs, config.data.seed).mean

    file, asked = artefacts.FORMATS.get(config.budget.format), config.budget.bytes
    exported = artefacts.export_model(
        trained.model,
        trained.split,
        folder,
        **_export_settings(config),
        limits={file: asked} if file and asked else {},
        seed=config.data.seed,
        measure=measure if config.export.evaluate else None,
    )
    # Formats that an earlier export wrote are still there; what was measured of the
    # files that were there before is not of those that are now.
    for key, new in dataclasses.asdict(exported).items():
        kept = {n: v for n, v in cost.get(key, {}).items() if n not in exported.files}
        cost = cost | {key: kept | new}
    if asked:
        cost["budget"] = {"asked": asked, "got": cost["files"][file], "file": file}
    results.write(folder, results.COST, cost)


def _export_settings(config: config_dict.ConfigDict) -> dict[str, Any]:
    """The arguments of an export that keys of the config are."""
    keys = ("k", "users", "layout", "formats", "table_bytes")
    return {key: config.export[key] for key in keys}


def evaluate(output_dir: Path) -> None:
    """Evaluate a finished run again, rewrite its metrics, and show them.

    Raises:
      UserError: the folder holds no run that has finished its training, the data
        are others than those it was trained on, or another process writes to it.
    """
    console = rich.console.Console()
    members = run_folder.found_members(output_dir)
    if not members:
        raise UserError(f"`--output_dir` must hold a run. Received: {output_dir}.")
    with locks.held(output_dir):
        for folder in members:
            config, split, trained = _restore(folder, console)
            _evaluate(config, split, trained, folder)
            html.write_report(folder)
        results.gather(output_dir, members)
    tables.summary(runs.read_run(output_dir), console)


def export(
    output_dir: Path, serving_dir: str | None, overrides: dict[str, Any]
) -> None:
    """Export a finished run again.

    Args:
      output_dir: the run folder.
      serving_dir: write `<serving_dir>/<version>/` for TensorFlow Serving
        instead of the run's own files.
      overrides: `export.*` keys to change.

    Raises:
      UserError: no finished run, nothing to export, or another process writes.
    """
    folder = runs.read_run(output_dir).file(results.CONFIG).parent
    config, split, trained = _restore(folder, console := rich.console.Console())
    _check_exportable(trained)
    config.update_from_flattened_dict(overrides)
    if serving_dir is None:
        with locks.held(output_dir):
            _export(config, split, trained, folder, results.read(folder, results.COST))
            html.write_report(folder)
            results.gather(output_dir, run_folder.found_members(output_dir))
        for name in results.read(folder, results.COST)["files"]:
            console.print(output_dir / name, highlight=False, soft_wrap=True)
        return
    for key in sorted(overrides.keys() - {"export.k"}):
        raise UserError(
            "Of the keys of an export `--serving_dir`, whose model is whole, takes "
            f"`export.k` only. Received: {key}={overrides[key]}."
        )
    artefacts.check(**_export_settings(config))
    frozen = freeze(trained.model, trained.split, config.data.seed)
    module = ServingModule(frozen, config.export.k)
    version = saved_model.export_serving(module, Path(serving_dir))
    console.print(Text(str(version)), soft_wrap=True)


def recommend(output_dir: Path, raw_user_ids: list[str] | None, k: int) -> pd.DataFrame:
    """Top-k items of users, items of their training and validation excluded.

    Args:
      output_dir: a finished run.
      raw_user_ids: raw ids, or None for all users.
      k: items for each user.

    Returns:
      Columns `user`, `rank` (from 1), `item`, `score`; raw ids.

    Raises:
      UserError: an id that the run does not know.
    """
    folder = runs.read_run(output_dir).file(results.CONFIG).parent
    config, split, trained = _restore(folder, rich.console.Console(stderr=True))
    _check_exportable(trained)
    frozen = freeze(trained.model, trained.split, config.data.seed)
    return recommendations.answers(ServingModule(frozen, k), split, raw_user_ids)


def _load(config: config_dict.ConfigDict, console: rich.console.Console) -> Split:
    split = data.load_split(config.data)
    for warning in split.warnings:
        told = Text.assemble(("Warning:", "yellow"), f" {warning}")
        console.print(told, soft_wrap=True)
    counts = (
        f"{split.name} ({split.label}): {split.num_users:,} users, "
        f"{split.num_items:,} items; {len(split.train):,} training, "
        f"{len(split.validation):,} validation, {len(split.test):,} test interactions"
    )
    console.print(Text(counts), soft_wrap=True)
    return split


def _restore(
    folder: Path, console: rich.console.Console
) -> tuple[config_dict.ConfigDict, Split, methods.Trained]:
    """The config, the split and the trained model of a finished run."""
    settings = read_settings(folder)
    config = config_files.completed(settings["config"])
    split = _load(config, console)
    run_folder.check_fingerprint(settings, split, folder)
    method = plugins.find("dsl_tf.methods", config.method.name, "method")
    checkpoints, seed = folder / methods.CHECKPOINTS, settings["seed"]
    config = methods.settled(checkpoints, config, method, split, seed)
    task = methods.Task(split, seed, checkpoints, console)
    return config, split, methods.restore(task, config, method.train)


def _check_exportable(trained: methods.Trained) -> None:
    if not trained.model.exportable:
        raise UserError(
            "The run's model must have vectors of users and items; this one is there "
            f"to be compared with. Received: {trained.model.name}."
        )
