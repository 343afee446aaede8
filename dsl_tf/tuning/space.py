"""What a search varies: keys of a config to the values that they may have."""

import functools
import json
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from ml_collections import config_dict
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from dsl_tf import config_files, plugins
from dsl_tf.errors import UserError

#: Keys to what they may be: a tuple has the values; a dict has `low` and `high` and,
#: where the search should go by orders of magnitude, `log`.
Declared = Mapping[str, tuple[Any, ...] | Mapping[str, Any]]


def declared(path: Path, config: config_dict.ConfigDict) -> dict[str, Any]:
    """What the config file and the method of a config declare as `SPACE`.

    A method that is another one with more to it says of which as `SPACE_OF`.

    Args:
      path: the config file.
      config: the config, whose method's keys count.
    """
    name = config.method.name.replace("-", "_")
    spaces = plugins.literals("dsl_tf.methods", "SPACE")
    engine = plugins.literals("dsl_tf.methods", "SPACE_OF").get(name)
    found = [spaces[each] for each in (engine, name) if each in spaces]
    return functools.reduce(operator.or_, found, plugins.literal(path, "SPACE", {}))


def parse(text: str) -> tuple[str, Any]:
    """A key and what it may be, from `KEY=LOW..HIGH`, `KEY=LOW..HIGH:log`, `KEY=A,B`.

    Raises:
      UserError: it is none of these.
    """
    key, equals, values = text.partition("=")
    if not key or not equals or not values:
        raise UserError(
            "`--vary` must be KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B,C. "
            f"Received: {text}."
        )
    low, dots, high = values.partition("..")
    if dots:
        ends = {"low": _literal(low), "high": _literal(high.removesuffix(":log"))}
        return key, {**ends, "log": high.endswith(":log")}
    return key, tuple(_literal(value) for value in values.split(","))


def distributions(
    space: Declared, config: config_dict.ConfigDict
) -> dict[str, BaseDistribution]:
    """The distributions of a space, each of the type of its key.

    Args:
      space: keys to what they may be.
      config: has the keys.

    Raises:
      UserError: a key that the config has not, values of another type, or names of
        methods or backbones that there are not.
    """
    known = config_files.flatten(config)
    if not space:
        raise UserError(
            "A search needs keys to vary: SPACE of the config file or of the method, "
            "or --vary. Received: none."
        )
    for key in space:
        config_files.check_key(key, known)
    return {key: _distribution(key, spec, known[key]) for key, spec in space.items()}


def _distribution(key: str, spec: Any, default: Any) -> BaseDistribution:
    rule = f"`{key}` can be varied between numbers of its type, or over values of it"
    if isinstance(spec, Mapping):
        low, high, log = spec["low"], spec["high"], spec.get("log", False)
        ends_fit = all(_fits(end, default) for end in (low, high))
        number = isinstance(default, int | float) and not isinstance(default, bool)
        if not (number and ends_fit and low < high and (low > 0 or not log)):
            mode = ", by orders of magnitude only above 0" if log else ""
            raise UserError(f"{rule}{mode}. Received: {low}..{high}.")
        if isinstance(default, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)
    if not all(_fits(value, default) for value in spec):
        raise UserError(f"{rule}. Received: {','.join(map(str, spec))}.")
    for value in spec:
        config_files.check_names({key: value})
    # Optuna's choices are numbers and texts: a tuple is kept as its text.
    return CategoricalDistribution([stored(value, default) for value in spec])


def stored(value: Any, default: Any) -> Any:
    """A value as a trial keeps it."""
    if isinstance(default, tuple):
        return json.dumps(value)
    return float(value) if isinstance(default, float) else value


def draw(trial: optuna.Trial, space: Mapping[str, BaseDistribution]) -> None:
    """Let a trial choose a value of each key."""
    for key, each in space.items():
        if isinstance(each, CategoricalDistribution):
            trial.suggest_categorical(key, each.choices)
        elif isinstance(each, IntDistribution):
            trial.suggest_int(key, each.low, each.high, log=each.log)
        elif isinstance(each, FloatDistribution):
            trial.suggest_float(key, each.low, each.high, log=each.log)


def settings(
    params: Mapping[str, Any], config: config_dict.ConfigDict
) -> dict[str, Any]:
    """What a trial's parameters are as values of the config."""
    known = config_files.flatten(config)
    return {
        key: tuple(json.loads(value)) if isinstance(known[key], tuple) else value
        for key, value in params.items()
    }


def own(
    space: Mapping[str, BaseDistribution], config: config_dict.ConfigDict
) -> dict[str, Any]:
    """What of a space is nearest to the config's own values.

    Of numbers the nearest; other values that the space has not are left out.
    """
    known = config_files.flatten(config)
    values = {key: _nearest(each, known[key]) for key, each in space.items()}
    return {key: value for key, value in values.items() if value is not None}


def others(
    space: Mapping[str, BaseDistribution], config: config_dict.ConfigDict
) -> dict[str, Any]:
    """The config's own values that the space has not, by their keys."""
    known, nearest = config_files.flatten(config), own(space, config)
    return {
        key: known[key]
        for key in space
        if nearest.get(key) != stored(known[key], known[key])
    }


def _nearest(distribution: BaseDistribution, value: Any) -> Any:
    """The value of a distribution; None where it has none like it."""
    if isinstance(distribution, CategoricalDistribution):
        kept = stored(value, value)
        return kept if kept in distribution.choices else None
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return type(distribution.low)(min(max(value, distribution.low), distribution.high))


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False}.get(text, text)


def described(space: Mapping[str, BaseDistribution]) -> Sequence[str]:
    """A line for each key, to be read."""
    return [f"{key}: {shown(distribution)}" for key, distribution in space.items()]


def shown(distribution: BaseDistribution) -> str:
    """What a key may be, to be read."""
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(str, distribution.choices))
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    log = ", by orders of magnitude" if distribution.log else ""
    return f"{distribution.low:g} to {distribution.high:g}{log}"
