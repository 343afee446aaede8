"""A dense model that a small one learns from: trained first, or read from a run."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tensorflow as tf
from ml_collections import config_dict

from dsl_tf.accounting import cost
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError
from dsl_tf.methods import base, dense
from dsl_tf.training.state import TrainingState

Lesson = TypeVar("Lesson")

#: What its pass is called, and how the names of the others begin.
_NAME = "teacher"


def lesson(
    passes: base.Passes,
    config: config_dict.ConfigDict,
    folder: str,
    read: Callable[[Backbone], Lesson],
) -> Lesson:
    """What is kept of a teacher, which is the dense backbone of a config.

    Args:
      passes: takes its pass, called `teacher`; those of another run are in the account
        as that run's own has them.
      config: the whole config.
      folder: of a finished dense run of the same config, instead; "" for none.
      read: makes it of the teacher, which is gone afterwards.

    Raises:
      UserError: the folder holds no finished run with its costs, or one of other
        tables; or an autoencoder, whose scores are not of pairs.
    """
    untrained = passes.untrained(config, dense.make_tables)
    if not untrained.scores_pairs:
        raise UserError(
            f"The method {config.method.name} needs a backbone that scores pairs. "
            f"Received: model.name={config.model.name}."
        )
    if folder and passes.finished:
        # Nobody is taught any more: the folder may have gone, and shapes will do.
        return read(untrained)
    del untrained  # two at a time would double the memory
    if not folder:
        teacher = passes.backbone(config, dense.make_tables, name=_NAME)
    else:
        teacher = _of_run(passes, config, Path(folder))
    return read(teacher)


def _of_run(
    passes: base.Passes, config: config_dict.ConfigDict, folder: Path
) -> Backbone:
    """The teacher that a run trained, whose passes were taken for this one too."""
    try:
        teacher = base.selected(passes, folder, config, dense.train)
    except (AssertionError, ValueError, tf.errors.InvalidArgumentError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            "The teacher must be a dense run of the same backbone, widths and "
            f"data. Received: {folder}."
        ) from None
    for price in cost.read_passes(folder):
        if price.name.endswith(base.REFIT) == passes.refits:
            name = _NAME if price.name == base.SELECT else f"{_NAME}_{price.name}"
            state = TrainingState(seconds=price.seconds, finished=True)
            price = dataclasses.replace(price, name=name)
            passes.taken.append(base.Pass(name, state, price))
    return teacher
