"""What passes are asked for and what is kept of them: a task, a pass, a plan."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import rich.console
from ml_collections import config_dict

from dsl_tf.accounting.cost import PassCost
from dsl_tf.layers.tables import TableFactory
from dsl_tf.methods._models import Start
from dsl_tf.training.companions import Companion
from dsl_tf.training.shared import SharedPasses
from dsl_tf.training.state import TrainingState
from dsl_tf.types import Split

#: Makes the tables of a config for a split, from a seed: what is dense or sparse.
MakeTables = Callable[[config_dict.ConfigDict, Split, int], TableFactory]
#: Makes what goes along with a pass, from a config, the steps planned and a seed.
MakeCompanion = Callable[[config_dict.ConfigDict, int, int], Companion]

#: Metric to its mean over users.
Metrics = dict[str, float]

#: Names of passes: selected on validation; anew on training and validation.
SELECT, REFIT = "select", "refit"

#: How names of passes begin that are taken once, however often the others are.
CHOICE = "choose_"


@dataclasses.dataclass(frozen=True)
class Task:
    """What a method works on.

    Attributes:
      split: training and validation are read, test is not.
      seed: of everything random in this run.
      folder: where checkpoints go.
      console: where progress goes.
      accept: raises a `UserError` before a backbone is trained for which the run
        has no use.
      watch: sees the metrics of each validation of the pass that selects; what it
        raises ends the training.
      shared: where passes are that other runs take alike, or None.
    """

    split: Split
    seed: int
    folder: Path
    console: rich.console.Console
    accept: Start = lambda backbone: None
    watch: Callable[[Metrics], None] = lambda metrics: None
    shared: SharedPasses | None = None


@dataclasses.dataclass(frozen=True)
class Pass:
    """One training pass, for the cost report.

    Attributes:
      name: `SELECT`, `REFIT`, or what the method calls it.
      state: how it ended.
      cost: what it took; None where the pass was read back.
    """

    name: str
    state: TrainingState
    cost: PassCost | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long a pass was, for the same pass of a refit.

    Attributes:
      steps: to its best epoch.
      planned: of its schedules.
    """

    steps: int
    planned: int
