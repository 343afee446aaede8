"""What every method shares: one door, `train`, and the passes behind it.

A method is a module with

    def train(passes: Passes, config: ConfigDict) -> Backbone

and, where it has settings of its own, `SETTINGS`, their defaults by their names: they
are the section `method.<its name>` of every config. What a search varies of them, and
of what it shares with other methods, is its `SPACE`. One that can be held to a number
of bytes has `within_bytes`, which of `_budget` it is; one that can learn from another
run has `teacher_folder`, which of a config that is; one that leaves no weight out says
`READS_SPARSITY = False`. It takes its passes one after the
other and returns the model to test and to export. Everything that it hands from one
pass to the next it makes anew from the models of the passes, so that a run that was
stopped goes on, and a finished one is read back, by the same function.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import rich.console
from ml_collections import config_dict

from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import check_keys
from dsl_tf.export.sizes import Rests
from dsl_tf.methods import _budget
from dsl_tf.methods._choices import Choices
from dsl_tf.methods._models import Start, make_backbone, make_model
from dsl_tf.methods._passes import Passes
from dsl_tf.methods._planning import Counted, Planning
from dsl_tf.methods._tasks import CHOICE, REFIT, SELECT, MakeTables, Metrics, Pass, Task
from dsl_tf.methods._training import ReadBack, Training
from dsl_tf.training.state import TrainingState
from dsl_tf.types import Split

__all__ = [
    "CHECKPOINTS",
    "REFIT",
    "SELECT",
    "MakeTables",
    "Method",
    "Pass",
    "Passes",
    "Start",
    "Task",
    "Trained",
    "Training",
    "make_backbone",
    "make_model",
    "planned",
    "restore",
    "selected",
    "settled",
    "train",
]

#: Where the checkpoints of a run are in its folder.
CHECKPOINTS = "checkpoints"

#: A method's `train`.
Method = Callable[[Passes, config_dict.ConfigDict], Backbone]


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a method hands back.

    Attributes:
      model: with the weights to test and to export.
      split: what the last pass was trained on.
      passes: every pass over data that the method took, in order.
      validated: the metrics on validation of the model that was selected, where they
        are not those of a pass.
      warnings: what a reader of its numbers has to know, a line each.
    """

    model: Backbone
    split: Split
    passes: tuple[Pass, ...]
    validated: Metrics | None = None
    warnings: tuple[str, ...] = ()

    @property
    def selection(self) -> TrainingState:
        """How the pass ended that validation selected the model in."""
        return next(each.state for each in self.passes if each.name == SELECT)


def settled(
    folder: Path,
    config: config_dict.ConfigDict,
    method: ModuleType,
    split: Split,
    seed: int,
    rests: Rests | None = None,
) -> config_dict.ConfigDict:
    """The config with what `budget.bytes` picks, once for all resumes of a run.

    Args:
      folder: of the run's checkpoints.
      config: the whole config.
      method: the method's module.
      split: what is trained on.
      seed: of the run.
      rests: of a plan, see `_budget.picked`.

    Raises:
      UserError: method, backbone or formats have no use for a budget; or no file is
        as small.
    """
    if not config.budget.bytes:
        return config
    choice = Choices(folder).get(
        "budget", lambda: _budget.picked(config, method, split, seed, rests)
    )
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(
        # JSON has no tuples.
        {k: tuple(v) if isinstance(v, list) else v for k, v in choice.value.items()}
    )
    return config


def train(task: Task, config: config_dict.ConfigDict, method: Method) -> Trained:
    """Passes selected on validation; with `train.refit`, a second time all of them.

    The second time trains anew on training and validation together, each pass for
    the number of steps that validation chose, on the schedules of the first time.
    A pass that has finished is not taken again.

    Args:
      task: what to train on.
      config: the whole config.
      method: its passes.

    Raises:
      UserError: `sparsity.target` is out of range; or what the method refuses.
    """
    return _all_of(Training, task, config, method)


def restore(task: Task, config: config_dict.ConfigDict, method: Method) -> Trained:
    """What `train` handed back, read from the task's folder.

    Raises:
      UserError: the run has not finished its training.
    """
    return _all_of(ReadBack, task, config, method)


def planned(
    task: Task, config: config_dict.ConfigDict, method: Method
) -> tuple[Pass, ...]:
    """The passes that `train` would take, if each had all of its epochs.

    Without those that another run has taken before.

    Args:
      task: its folder is for what a method finds out on the way.
      config: the whole config.
      method: its passes.

    Raises:
      UserError: as `train`, as far as that is found out before a step.
    """
    _check_sparsity(config)
    passes = Planning(task, config, task.split)
    with contextlib.suppress(Counted):
        method(passes, config)
    taken = tuple(p for p in passes.taken if p.cost is None or not p.cost.read_from)
    again = [each for each in taken if not each.name.startswith(CHOICE)]
    return (*taken, *again) if config.train.refit else taken


def selected(
    passes: Passes, folder: Path, config: config_dict.ConfigDict, method: Method
) -> Backbone:
    """The model of another run over the same split.

    It is the one that the run selected, with the graph of then. In a refit it is the
    run's own refit, which has seen as much, where the run has one.

    Args:
      passes: that want it.
      folder: of the run.
      config: its config, as far as the model goes.
      method: its method.

    Raises:
      UserError: the run has not finished its training.
    """
    console = rich.console.Console(quiet=True)
    checkpoints = folder / CHECKPOINTS
    refitted = passes.refits and (checkpoints / REFIT).exists()
    split = passes.split if refitted else passes.first_split
    task = Task(split, passes.seed, checkpoints, console)
    return method(ReadBack(task, config, split, {} if refitted else None), config)


def _all_of(
    kind: type[Passes],
    task: Task,
    config: config_dict.ConfigDict,
    method: Method,
) -> Trained:
    _check_sparsity(config)
    passes = kind(task, config, task.split)
    model = method(passes, config)
    if not config.train.refit:
        taken, warnings = tuple(passes.taken), tuple(passes.warnings)
        return Trained(model, task.split, taken, passes.validated, warnings)
    del model
    again = kind(task, config, task.split.with_validation(), passes.plans)
    model = method(again, config)
    taken = (*passes.taken, *again.taken)
    warnings = tuple(dict.fromkeys([*passes.warnings, *again.warnings]))
    return Trained(model, again.split, taken, passes.validated, warnings)


def _check_sparsity(config: config_dict.ConfigDict) -> None:
    # Here, for all methods: not every one makes a layer that would refuse it.
    target = config.sparsity.target
    check_keys("sparsity", config.sparsity, target=(0 <= target < 1, "in [0, 1)"))
