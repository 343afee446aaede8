"""One trial of a search: trained and validated, never tested."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import optuna
import rich.console
import tensorflow as tf
import tf_keras as keras
from ml_collections import config_dict

from dsl_tf import data, plugins, run_folder
from dsl_tf.errors import UserError
from dsl_tf.methods import base
from dsl_tf.training.evaluator import selection_metric
from dsl_tf.types import Split


def quality(
    config: config_dict.ConfigDict,
    trial: optuna.Trial,
    console: rich.console.Console,
) -> float:
    """The metric that selects, on validation: the best of the training, over seeds.

    The test set is not looked at, and nothing is trained anew on validation.

    Args:
      config: of the trial.
      trial: is told each validation of the first seed, and may end it.
      console: where progress goes.

    Raises:
      TrialPruned: it is not worth going on.
      UserError: the config is refused, or the run that it learns from.
    """
    config = config.copy_and_resolve_references()
    config.train.refit = False
    split = data.load_split(config.data)
    if not len(split.validation):
        raise UserError(
            "A search needs validation interactions (data.validation_fraction). "
            "Received: none."
        )
    values = [
        _of_seed(
            config, split, seed, trial if seed == config.seeds[0] else None, console
        )
        for seed in config.seeds
    ]
    return float(np.mean(values))


def _of_seed(
    config: config_dict.ConfigDict,
    split: Split,
    seed: int,
    trial: optuna.Trial | None,
    console: rich.console.Console,
) -> float:
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    metric = selection_metric(config.evaluation.cutoffs)
    method = plugins.find("dsl_tf.methods", config.method.name, "method")
    run_folder.check_teacher(config, method, split)
    validations = 0

    def watch(metrics: Mapping[str, float]) -> None:
        nonlocal validations
        validations += 1
        if trial is not None:
            trial.report(metrics[metric], validations)
            if trial.should_prune():
                raise optuna.TrialPruned

    with tempfile.TemporaryDirectory() as folder:
        task = base.Task(split, seed, Path(folder), console, watch=watch)
        settled = base.settled(task.folder, config, method, split, seed)
        trained = base.train(task, settled, method.train)
        if trained.validated is not None:
            return trained.validated[metric]
        return trained.selection.best_score
