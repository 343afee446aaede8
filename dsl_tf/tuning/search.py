"""A search that goes on where it stopped, each trial in a process of its own."""

import dataclasses
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from ml_collections import config_dict
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from dsl_tf import children, config_files
from dsl_tf.config_files import completed
from dsl_tf.errors import UserError
from dsl_tf.plugins import choose
from dsl_tf.tuning import space as spaces

DATABASE = "trials.db"

#: What a trial that is taken again has: the number that it had before, and whether that
#: one, or one before it, broke down.
_INSTEAD, _BROKEN = "instead_of", "broken"

#: What one that broke down, and was not killed, has: the exception, in a line.
BROKE = "broke"


def _qmc(seed: int, trial: int) -> optuna.samplers.BaseSampler:
    """One sequence for all trials, whose places are counted in the database."""
    del trial
    with warnings.catch_warnings():
        # That its interface may change is nothing to the user of a search.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.QMCSampler(seed=seed)


#: From the seed of a search and the number of a trial, which is drawn in a process of
#: its own and would else be drawn as the one before.
SAMPLERS: Mapping[str, Callable[[int, int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed, trial: optuna.samplers.TPESampler(
        seed=seed + trial, multivariate=True
    ),
    "random": lambda seed, trial: optuna.samplers.RandomSampler(seed=seed + trial),
    "cmaes": lambda seed, trial: optuna.samplers.CmaEsSampler(seed=seed + trial),
    "qmc": _qmc,
}
PRUNERS: Mapping[str, Callable[[], optuna.pruners.BasePruner]] = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4),
    "halving": optuna.pruners.SuccessiveHalvingPruner,
    "none": optuna.pruners.NopPruner,
}


@dataclasses.dataclass(frozen=True)
class Search:
    """What is searched, and where the trials are kept.

    Attributes:
      folder: holds the database.
      config: what is not varied.
      space: keys that are, to their distributions.
      sampler: a name in `SAMPLERS`.
      pruner: a name in `PRUNERS`.
      file: where the config is from, with its `:DATA`.
      fixed: keys of the config that are not the file's own, to their values.
    """

    folder: Path
    config: config_dict.ConfigDict
    space: Mapping[str, BaseDistribution]
    sampler: str = "tpe"
    pruner: str = "median"
    file: str = ""
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def study(self) -> optuna.Study:
        """The study, made where there is none, with the config's own values first.

        Raises:
          UserError: the folder holds a search of another config or space.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        storage = f"sqlite:///{self.folder / DATABASE}"
        pruner = choose(PRUNERS, self.pruner, "pruner")()
        study = optuna.create_study(
            storage=storage,
            study_name="search",
            direction="maximize",
            load_if_exists=True,
            pruner=pruner,
        )
        sampler = choose(SAMPLERS, self.sampler, "sampler")
        study.sampler = sampler(self.config.seeds[0], len(study.trials))
        asked = self._asked()
        if not study.trials and "asked" not in study.user_attrs:
            study.set_user_attr("asked", asked)
            study.enqueue_trial(spaces.own(self.space, self.config))
            return study
        before = study.user_attrs["asked"]
        # It may be older than a key of the config, whose default it then had.
        whole = completed(before["config"]).to_json_best_effort()
        if before | {"config": json.loads(whole)} != asked:
            raise UserError(
                "`--output_dir` must hold a search of this config and space, or none. "
                f"Received: {self.folder}, {_difference(study.user_attrs, asked)}."
            )
        return study

    def _asked(self) -> dict[str, Any]:
        config = json.loads(self.config.to_json_best_effort())
        varied = spaces.described(self.space)
        return {"config": config, "space": list(varied)}


def run(
    search: Search,
    trials: int,
    arguments: Sequence[str],
    said: Callable[[FrozenTrial], None],
) -> optuna.Study:
    """Take trials, one after the other, until there are so many.

    A trial that an earlier process did not end is taken again. One that breaks down or
    is killed twice, as it needs too much memory, has failed; Ctrl-C may come as often
    as it likes.

    Args:
      search: what is searched.
      trials: how many there shall be in all, pruned and failed ones too.
      arguments: of `python -m dsl_tf.tune`, that make this search.
      said: is given each trial that has ended.
    """
    study = search.study()
    _take_up(study)
    log = search.folder / "trials.log"
    known = _ended(study)
    while len(known) < trials:
        worker = [*arguments, "--worker"]
        with (
            log.open("ab") as stream,
            children.started("dsl_tf.tune", worker, stream) as process,
        ):
            process.wait()
        ended = _ended(study)
        if len(ended) == len(known) and _take_up(study):
            ended = _ended(study)
            if len(ended) == len(known):
                continue
        if len(ended) == len(known):
            raise UserError(
                "A trial must end, if only with a line that refuses it. Received: exit "
                f"code {process.returncode}; see {log}."
            )
        for number in ended.keys() - known.keys():
            said(ended[number])
        known = ended
    return study


def _take_up(study: optuna.Study) -> bool:
    """Ask again for the trials that were broken off.

    Returns:
      Whether one of them broke down or was killed.
    """
    trials = study.get_trials()
    retaken = {trial.user_attrs.get(_INSTEAD) for trial in trials}
    any_broke = False
    for trial in trials:
        broke = trial.state is TrialState.RUNNING
        if broke:
            study.tell(trial.number, state=TrialState.FAIL)
        elif trial.state is not TrialState.FAIL or "error" in trial.user_attrs:
            continue
        if trial.number in retaken:
            continue
        why = trial.user_attrs.get(BROKE, "Its process was killed.")
        broke = broke or BROKE in trial.user_attrs
        any_broke = any_broke or broke
        attributes = {_INSTEAD: trial.number}
        before = trial.user_attrs.get(_BROKEN, False)
        if broke and before:
            failed = optuna.create_trial(
                state=TrialState.FAIL,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=attributes | {"error": f"Twice: {why}"},
            )
            study.add_trial(failed)
        else:
            study.enqueue_trial(trial.params, attributes | {_BROKEN: broke or before})
    return any_broke


def _ended(study: optuna.Study) -> dict[int, FrozenTrial]:
    """Trials by their numbers, but for those that were broken off."""
    return {
        trial.number: trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        or (trial.state is TrialState.FAIL and "error" in trial.user_attrs)
    }


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if before["asked"]["space"] != now["space"]:
        return f"which varies {'; '.join(before['asked']['space'])}"
    old, new = map(_flat, (before["asked"]["config"], now["config"]))
    key = next(k for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k))
    return f"whose `{key}` is {old.get(key)!r}, not {new.get(key)!r}"


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    return config_files.flatten(config_dict.ConfigDict(values))
