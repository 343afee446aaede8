"""What a search found: files, a picture and a short table."""

import math
import shlex
from collections.abc import Sequence
from typing import Any

import optuna
import pandas as pd
import rich.console
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState
from rich.text import Text

from dsl_tf.files import replacing
from dsl_tf.reports import figures, tables
from dsl_tf.tuning import space
from dsl_tf.tuning.best import Best
from dsl_tf.tuning.search import Search

_SHOWN = 5


def line(trial: FrozenTrial) -> str:
    """One line on a trial that has ended."""
    state = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned"}
    word = state.get(trial.state, "failed")
    reached = trial.value
    if trial.state is TrialState.PRUNED and trial.intermediate_values:
        reached = trial.intermediate_values[max(trial.intermediate_values)]
    value = "-" if reached is None else f"{reached:.4f}"
    seconds = trial.duration.total_seconds() if trial.duration else math.nan
    settings = "  ".join(f"{k}={_short(v)}" for k, v in trial.params.items())
    error = trial.user_attrs.get("error", "")
    return f"{word:6} {trial.number:3}  {value}  {seconds:5,.0f} s  {settings}  {error}"


def frame(study: optuna.Study) -> pd.DataFrame:
    """A row for each trial.

    Returns:
      Columns `number`, `state`, `value` (on validation), `validations`, `seconds`,
      `error`, and one for each key that was varied.
    """
    rows = []
    for trial in study.get_trials(deepcopy=False):
        seconds = trial.duration.total_seconds() if trial.duration else None
        rows.append(
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "value": trial.value,
                "validations": len(trial.intermediate_values),
                "seconds": seconds,
                "error": trial.user_attrs.get("error", ""),
                **trial.params,
            }
        )
    return pd.DataFrame(rows)


def write(search: Search) -> None:
    """Write `trials.csv`, `best.json` and `trials.png`, as far as there are trials."""
    study = search.study()
    with replacing(search.folder / "trials.csv") as partial:
        frame(study).to_csv(partial, index=False)
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        return
    found = study.best_trial
    settings = space.settings(found.params, search.config)
    # It is of one method, whether the command says it, the config or the trial.
    method = settings.get("method.name", search.config.method.name)
    fixed = {**search.fixed, "method.name": method}
    assert found.value is not None  # it is complete
    Best(search.folder, search.file, fixed, settings, found.value, found.number).write()
    _picture(study, search).savefig(search.folder / "trials.png")


def show(
    study: optuna.Study,
    search: Search,
    fixed: Sequence[str],
    console: rich.console.Console,
) -> None:
    """Print the best trials, what mattered, and the command of the best.

    Args:
      study: with a trial that is complete.
      search: of the study.
      fixed: arguments that all trials have.
      console: where it goes.
    """
    done = study.get_trials(states=(TrialState.COMPLETE,))
    done.sort(key=lambda trial: -(trial.value or 0.0))
    console.print()
    names = [key.rpartition(".")[2] for key in search.space]
    header = ["trial", "validation", *names]
    rows = [
        [
            str(t.number),
            tables.score(t.value),
            *(_short(t.params[k]) for k in search.space),
        ]
        for t in done[:_SHOWN]
    ]
    tables.show(console, header, rows)
    for name, share in _importances(study).items():
        console.print(Text(f"  {share:5.0%} of the variance: {name}"), soft_wrap=True)
    command = ["python", "-m", "dsl_tf.main", *fixed]
    best = space.settings(study.best_params, search.config)
    command += [f"--config.{key}={_text(value)}" for key, value in best.items()]
    console.print(Text(f"Best: {shlex.join(command)}"), soft_wrap=True)


def _importances(study: optuna.Study) -> dict[str, float]:
    """Shares of the variance that keys have, by a forest over the trials (fANOVA).

    None where there are too few, or all are equally good.
    """
    done = study.get_trials(states=(TrialState.COMPLETE,))
    if len(done) < 2 * max(1, len(done[0].params)) or len(done[0].params) < 2:
        return {}
    if len({trial.value for trial in done}) == 1:
        return {}
    forest = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=forest)


def _picture(study: optuna.Study, search: Search) -> Figure:
    """Validation by trial, and over each key."""
    names = list(search.space)[:4]
    figure, axes = figures.panels(1 + len(names), 3.4)
    table = frame(study)
    done = table[table["state"] == "complete"]
    axes[0].plot(done["number"], done["value"], "o", color=figures.BLUE, ms=4)
    axes[0].step(
        done["number"], done["value"].cummax(), where="post", color=figures.ORANGE
    )
    axes[0].set_xlabel("trial")
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("validation")
    for axis, name in zip(axes[1:], names, strict=True):
        each = search.space[name]
        column: Any = done[name]
        if isinstance(each, CategoricalDistribution):
            places = {choice: place for place, choice in enumerate(each.choices)}
            axis.set_xticks(range(len(places)), map(str, places))
            axis.set_xlim(-0.5, len(places) - 0.5)
            column = column.map(places)
        elif isinstance(each, FloatDistribution | IntDistribution):
            if each.log:
                axis.set_xscale("log")
                axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_xlim(each.low, each.high)
        axis.plot(column, done["value"], "o", color=figures.BLUE, ms=4, clip_on=False)
        axis.sharey(axes[0])
        axis.tick_params(labelleft=False)
        axis.set_xlabel(name.rpartition(".")[2])
    return figure


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
