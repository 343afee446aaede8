"""The passes over data that a method takes: trained, or read back."""

import abc
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from ml_collections import config_dict
from rich.text import Text

from dsl_tf.accounting.cost import untrained
from dsl_tf.accounting.macs import NO_MACS, TrainingMacs
from dsl_tf.backbones.base import Backbone
from dsl_tf.errors import UserError
from dsl_tf.methods import _pretraining
from dsl_tf.methods._choices import Choices
from dsl_tf.methods._models import Start, make_backbone
from dsl_tf.methods._tasks import (
    CHOICE,
    REFIT,
    SELECT,
    MakeCompanion,
    MakeTables,
    Metrics,
    Pass,
    Plan,
    Task,
)
from dsl_tf.training.evaluator import Evaluator, selection_metric
from dsl_tf.training.state import TrainingState
from dsl_tf.types import Split

T = TypeVar("T")


class Passes(abc.ABC):
    """One time through all the passes of a method, on one split.

    Args:
      task: where checkpoints and progress go.
      config: the whole config.
      split: its training part is trained on, its validation part selects.
      plans: of the passes that were selected before, by name, if this is a refit.

    Attributes:
      finished: whether the passes were taken before, and are only read.
      split: as given.
      seed: of everything random.
      held_bytes: of what the method holds from one pass to the next, for the account.
      taken: the passes so far.
      plans: of this time's passes, for the next.
      validated: the metrics on validation of the model that is handed back, where
        they are not those of the last pass.
      warnings: what a reader of the numbers has to know, a line each.
    """

    finished = False

    def __init__(
        self,
        task: Task,
        config: config_dict.ConfigDict,
        split: Split,
        plans: dict[str, Plan] | None = None,
    ) -> None:
        self._task = task
        self._config = config
        self._chosen = plans
        self._choices = Choices(task.folder)
        self.split = split
        self.seed = task.seed
        self.held_bytes = 0
        self.taken: list[Pass] = []
        self.plans: dict[str, Plan] = {}
        self.validated: Metrics | None = None
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        """Say a line to the user, and to whoever reads the run's numbers."""
        self.warnings.append(text)
        if not self.finished:
            told = Text.assemble(("Warning:", "yellow"), f" {text}")
            self._task.console.print(told, soft_wrap=True)

    @property
    def refits(self) -> bool:
        """Whether this is the second time, on training and validation."""
        return self._chosen is not None

    @property
    def first_split(self) -> Split:
        """The split of the first time."""
        return self._task.split

    def backbone(
        self,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_companion: MakeCompanion | None = None,
        start: Start | None = None,
        name: str = SELECT,
        make_first: MakeTables | None = None,
    ) -> Backbone:
        """A backbone after its training, and after its pretraining if it wants one.

        Args:
          config: the whole config.
          make_tables: of both.
          make_companion: of both.
          start: sees the model before its training, after any pretraining.
          name: of the pass, `SELECT` for the one that selects what is tested.
          make_first: of the pretraining instead, without a companion.

        Returns:
          With the weights of its best epoch.
        """
        first = _pretraining.config_of(config)
        if first is None:
            return self.one(name, config, make_tables, make_companion, start)
        self._look_ahead(config, make_tables, make_companion)
        before = "pretrain" if name == SELECT else f"{name}_pretrain"
        if make_first is None:
            model = self.one(before, first, make_tables, make_companion)
        else:
            model = self.one(before, first, make_first)
        tables = _pretraining.tables(model)
        del model  # two at a time would double the memory

        def pretrained(new: Backbone) -> None:
            _pretraining.adopt(new, tables)
            if start is not None:
                start(new)

        return self.one(name, config, make_tables, make_companion, pretrained)

    def _look_ahead(
        self,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_companion: MakeCompanion | None,
    ) -> None:
        """Tell mistakes in what comes after a pretraining before it is taken."""
        del config, make_tables, make_companion

    @abc.abstractmethod
    def one(
        self,
        name: str,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        make_companion: MakeCompanion | None = None,
        start: Start | None = None,
    ) -> Backbone:
        """One pass, whatever pretraining the backbone would want; see `backbone`."""

    @abc.abstractmethod
    def solved(self, solve: Callable[[], Backbone], taken: TrainingMacs) -> Backbone:
        """A model that is not trained step by step: it is counted, or solved for.

        It is one pass, `SELECT`.

        Args:
          solve: makes it, the same each time.
          taken: the multiply-accumulates that it takes.
        """

    @abc.abstractmethod
    def made(self, name: str, make: Callable[[], T], taken: TrainingMacs) -> T | None:
        """What a pass begins with, where to make it is work: a pass of its own.

        Args:
          name: of that pass.
          make: makes it, the same each time.
          taken: the multiply-accumulates that it takes.

        Returns:
          None where the model that begins with it is not trained: it is counted, or
          read back.
        """

    def untrained(
        self,
        config: config_dict.ConfigDict,
        make_tables: MakeTables,
        start: Start | None = None,
        seed: int | None = None,
    ) -> Backbone:
        """A backbone before any training.

        Args:
          config: the whole config.
          make_tables: dense or sparse.
          start: gives it other weights.
          seed: of its initial weights; None: that of all passes.
        """
        seed = self.seed if seed is None else seed
        tables = make_tables(config, self.split, seed)
        model = make_backbone(self.split, config, tables, seed)
        if start is not None:
            start(model)
        return model

    def validation(self, model: Backbone, config: config_dict.ConfigDict) -> Metrics:
        """The metrics of a model on the validation part.

        Raises:
          UserError: there is none.
        """
        self.check_validation(config)
        return dict(Evaluator(model, config, self.split, "validation")().mean)

    def check_validation(self, config: config_dict.ConfigDict) -> None:
        """Refuse a method that chooses on validation, if it cannot.

        Raises:
          UserError: the split of the first time has no validation part.
        """
        if not len(self.first_split.validation):
            raise UserError(
                f"The method {config.method.name} chooses on validation, which the "
                "split must have. Received: none."
            )

    def report_validation(
        self, model: Backbone, config: config_dict.ConfigDict
    ) -> None:
        """Measure the model that is handed back, if no pass left it as it is."""
        if len(self.split.validation):
            self.validated = self._choices.get(
                "validation", lambda: self.validation(model, config)
            ).value

    def choose(
        self,
        name: str,
        compute: Callable[[], Any],
        taken: TrainingMacs = NO_MACS,
    ) -> Any:
        """What a method finds out on validation, once for all times and resumes.

        What it takes is a pass of its own, `choose_<name>`.

        Args:
          name: of the choice.
          compute: finds it out; JSON-ready. Not called where it is known.
          taken: the multiply-accumulates that it takes, evaluations not counted.
        """
        choice = self._choices.get(name, compute)
        if self._chosen is None:  # else it was counted the first time
            name = f"{CHOICE}{name}"
            state = TrainingState(seconds=choice.seconds, finished=True)
            price = untrained(name, choice.seconds, choice.peak_rss_bytes, taken)
            self.taken.append(Pass(name, state, price))
        return choice.value

    def chosen(self, name: str, config: config_dict.ConfigDict) -> Any:
        """In a refit, what `choose` found out the first time.

        Raises:
          UserError: nothing could be: the split of the first time has no validation
            part.
        """
        self.check_validation(config)
        return self._choices.known(name).value

    def best_of(
        self,
        name: str,
        tried: Sequence[Sequence[float]],
        make: Callable[..., Backbone],
        config: config_dict.ConfigDict,
        each: TrainingMacs = NO_MACS,
    ) -> Sequence[float]:
        """The arguments of the model that is best on validation; see `choose`.

        Args:
          name: of the choice.
          tried: arguments of `make`; of equal ones the first win.
          make: makes a model.
          config: the whole config.
          each: the multiply-accumulates that it takes to make one.
        """
        metric = selection_metric(config.evaluation.cutoffs)

        def best() -> list[float]:
            scores = [self.validation(make(*each), config)[metric] for each in tried]
            return list(tried[int(np.argmax(scores))])

        all_of_them = TrainingMacs(*(len(tried) * part for part in each))
        chosen: Sequence[float] = self.choose(name, best, all_of_them)
        return chosen

    def _place(self, name: str) -> str:
        """What the pass is called in files and in the cost report."""
        if self._chosen is None:
            return name
        return REFIT if name == SELECT else f"{name}_{REFIT}"
