r"""Search for the values of a config that are best on validation.

    python -m dsl_tf.tune --config=configs/neumf.py:ml-1m --trials=30
    python -m dsl_tf.tune --config=configs/mf.py --config.method.name=dsl \
        --vary=train.learning_rate=1e-3..3e-2:log --vary=sparsity.update_interval=50,100

What is varied is what the config file and the method declare as `SPACE`, or what
`--vary` says. The first trial is the config as it is, or as near to it as the space
allows. The test set is never looked at.

The same command goes on where the search stopped. The folder has `trials.db` (Optuna's,
in SQLite), `trials.csv`, `trials.png` and `best.json`, which `python -m dsl_tf.study
--tuned=tunings` gives to the runs that it was searched for.

The exit code is 0, 2 for a user's mistake, 130 for Ctrl-C.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import optuna
import rich.console
from absl import flags
from ml_collections import config_dict
from optuna.trial import TrialState
from rich.text import Text

from dsl_tf import command_line, config_files, environment, locks
from dsl_tf import flags as run_flags
from dsl_tf.errors import UserError
from dsl_tf.tuning import findings, search, space


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
      argv: the program's name, then the flags.

    Returns:
      The exit code.
    """
    return command_line.exit_code(
        lambda: _main(argv), lambda: "The same command goes on from here."
    )


def _main(argv: Sequence[str]) -> int:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    values = _define()
    keys, others = run_flags.separate(argv[1:])
    rule = "A search needs --config=configs/NAME.py[:DATA] and takes flags only."
    if not command_line.read(values, [argv[0], *others], f"{__doc__}", rule):
        return 0
    wanted = _search(values, keys)
    with environment.sigterm_interrupts():
        if values.worker:
            _work(wanted)
        else:
            fixed = [f"--config={values.config}", *keys]
            with locks.held(wanted.folder):
                _run(wanted, values.trials, argv[1:], fixed, rich.console.Console())
    return 0


def _search(values: flags.FlagValues, keys: Sequence[str]) -> search.Search:
    command = run_flags.parse(["", f"--config={values.config}", *keys])
    config = command.config
    assert config is not None  # the mode is `train`
    varied = dict(map(space.parse, values.vary))
    if not varied:
        varied = space.declared(config_files.find(values.config.split(":")[0]), config)
    found = space.distributions(varied, config)
    given = {key: space.shown(each) for key, each in found.items()}
    run_flags.check_budget(config, command.overrides | given)
    folder = values.output_dir or f"tunings/{command.output_dir.name}"
    flat = config_files.flatten(config)
    return search.Search(
        Path(folder),
        config,
        found,
        values.sampler,
        values.pruner,
        values.config,
        {key: flat[key] for key in command.overrides},
    )


def _run(
    wanted: search.Search,
    trials: int,
    arguments: Sequence[str],
    fixed: Sequence[str],
    console: rich.console.Console,
) -> None:
    for line in space.described(wanted.space):
        console.print(Text(f"  {line}"), soft_wrap=True)
    if others := space.others(wanted.space, wanted.config):
        told = ", ".join(f"{key}={value}" for key, value in others.items())
        line = f"The first trial is not the config as it is: no trial has its {told}."
        console.print(Text(line, "yellow"), soft_wrap=True)

    def said(trial: optuna.trial.FrozenTrial) -> None:
        console.print(Text(findings.line(trial)), soft_wrap=True)

    try:
        study = search.run(wanted, trials, arguments, said)
    finally:
        if (wanted.folder / search.DATABASE).exists():
            findings.write(wanted)
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        raise UserError(
            "One trial at least must reach its end. Received: none of "
            f"{len(study.trials)}; see {wanted.folder / 'trials.csv'}."
        )
    findings.show(study, wanted, fixed, console)


def _work(wanted: search.Search) -> None:
    """One trial, in this process."""
    with command_line.importing_tensorflow():
        from dsl_tf.tuning import trial

    console = rich.console.Console()

    def objective(drawn: optuna.Trial) -> float:
        space.draw(drawn, wanted.space)
        config = _with(wanted.config, drawn)
        try:
            return trial.quality(config, drawn, console)
        except UserError as error:
            drawn.set_user_attr("error", str(error))
            raise
        except optuna.TrialPruned:
            raise
        except Exception as error:
            # It may be for want of memory: it is tried once more.
            drawn.set_user_attr(search.BROKE, f"{type(error).__name__}: {error}")
            raise

    study = wanted.study()
    study.optimize(objective, n_trials=1, catch=(UserError,))


def _with(
    config: config_dict.ConfigDict, drawn: optuna.Trial
) -> config_dict.ConfigDict:
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(space.settings(drawn.params, config))
    return config


def _define() -> flags.FlagValues:
    """The flags, apart from absl's global ones and the keys of the config."""
    values = flags.FlagValues()
    values.set_gnu_getopt()
    where = {"flag_values": values}
    flags.DEFINE_string(
        "config", None, "FILE[:DATA], such as configs/neumf.py:ml-1m.", **where
    )
    flags.DEFINE_integer(
        "trials", 20, "Trials in all, those of earlier calls too.", 1, **where
    )
    flags.DEFINE_multi_string(
        "vary",
        [],
        "KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B,C; repeatable, in place of the "
        "declared space.",
        **where,
    )
    flags.DEFINE_enum("sampler", "tpe", [*search.SAMPLERS], "Draws trials.", **where)
    flags.DEFINE_enum(
        "pruner", "median", [*search.PRUNERS], "Ends trials that lag behind.", **where
    )
    flags.DEFINE_string("output_dir", None, "Folder; else tunings/NAME.", **where)
    flags.DEFINE_bool("worker", False, "Take one trial in this process.", **where)
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", **where)
    return values


if __name__ == "__main__":
    sys.exit(main(sys.argv))
