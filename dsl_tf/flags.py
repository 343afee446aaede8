"""The command line and the config file, read without importing TensorFlow.

Every mistake is a `UserError` of one line, within a second.
"""

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_dict

from dsl_tf import config_files
from dsl_tf.errors import UserError

MODES = ("train", "evaluate", "export", "recommend")
OUTPUT_SUFFIXES = (".csv", ".parquet", ".json")

#: The mode that reads a flag; the flags not named here serve every mode.
_MODE_OF_FLAG = {
    "resume": "train",
    "overwrite": "train",
    "shared_passes": "train",
    "serving_dir": "export",
    "user": "recommend",
    "users": "recommend",
    "k": "recommend",
    "output": "recommend",
}


#: Keys that `budget.bytes` sets, or that would contradict it.
_PICKED = ("sparsity.target", "method.quantised.bits", "export.table_bytes")


@dataclasses.dataclass(frozen=True)
class Command:
    """What the user asked for, checked as far as that goes without the data.

    Attributes:
      mode: one of `MODES`.
      output_dir: the run's folder.
      config: the experiment, locked; None unless mode is `train`.
      resume: go on from the folder's checkpoint.
      overwrite: replace the run that the folder holds.
      shared_passes: folder of passes that several runs take alike, or None.
      overrides: keys set on the command line, such as `{"export.k": 50}`.
      serving_dir: folder for TensorFlow Serving, or None.
      users: raw ids of the users to recommend to; None for all of them.
      k: items to recommend.
      output: file for the recommendations, or None for the terminal.
      text: the command line, to be copied.
    """

    mode: str
    output_dir: Path
    config: config_dict.ConfigDict | None
    resume: bool
    overwrite: bool
    shared_passes: Path | None
    overrides: dict[str, Any]
    serving_dir: str | None
    users: list[str] | None
    k: int
    output: Path | None
    text: str


def parse(argv: Sequence[str]) -> Command:
    """Reads a command line.

    Args:
      argv: the program's name, then the arguments.

    Raises:
      UserError: a flag, key, type, value or config file is wrong.
    """
    key_arguments, flag_arguments = separate(argv[1:])
    values = _define()
    try:
        positional = values([argv[0], *flag_arguments])[1:]
    except flags.Error as error:
        raise UserError(str(error).splitlines()[0]) from None
    if positional:
        raise UserError(f"Every argument must start with --. Received: {positional[0]}")
    mode = values.mode
    _check_flags_of_mode(values)

    config: config_dict.ConfigDict | None = None
    overrides: dict[str, Any] = {}
    if mode == "train":
        if not values.config:
            raise UserError(
                "`--mode=train` needs a config, such as --config=configs/neumf.py."
            )
        config, overrides = _read_config(values.config, key_arguments)
    else:
        if values.config or not values.output_dir:
            raise UserError(
                f"`--mode={mode}` needs --output_dir=DIR of a run and reads its "
                "config from there; it takes no --config."
            )
        if not _is_run(Path(values.output_dir)):
            raise UserError(
                "`--output_dir` must be the folder of a run, with a config.json. "
                f"Received: {values.output_dir}"
            )
        if key_arguments:
            overrides = _export_overrides(mode, key_arguments)

    return Command(
        mode=mode,
        output_dir=Path(values.output_dir or default_output_dir(config)),
        config=config,
        resume=values.resume,
        overwrite=values.overwrite,
        shared_passes=Path(values.shared_passes) if values.shared_passes else None,
        overrides=overrides,
        serving_dir=values.serving_dir,
        users=values.user or None,
        k=values.k,
        output=Path(values.output) if values.output else None,
        text=f"python -m dsl_tf.main {shlex.join(argv[1:])}",
    )


def default_output_dir(config: config_dict.ConfigDict) -> str:
    """`saved_models/<model>-<data>-<method>-<sparsity>`."""
    data = config.data.name
    if config.data.path:
        data = Path(config.data.path).resolve().name.split(".")[0]
    size = f"{config_files.sparsity(config):g}"
    if config.budget.bytes:
        size = f"{config.budget.bytes}-bytes"
    return f"saved_models/{config.model.name}-{data}-{config.method.name}-{size}"


def help_text() -> str:
    """The flags, and the keys of every config with their general defaults."""
    values = _define()
    lines = ["Flags:"]
    lines += [f"  --{name}: {values[name].help}" for name in values]
    lines += ["", "Keys of every config, with their general defaults:"]
    lines += [
        f"  --config.{key}={value!r}"
        for key, value in config_files.flatten(_base()).items()
    ]
    return "\n".join(lines)


def _define() -> flags.FlagValues:
    """The flags themselves, apart from absl's global ones."""
    values = flags.FlagValues()
    values.set_gnu_getopt()
    where = {"flag_values": values}
    flags.DEFINE_string(
        "config", None, "FILE[:DATA], such as configs/neumf.py:ml-1m.", **where
    )
    flags.DEFINE_string(
        "output_dir",
        None,
        "Folder of the run; saved_models/<model>-<data>-<method>-<sparsity> "
        "where --mode=train is given none.",
        **where,
    )
    flags.DEFINE_enum("mode", "train", MODES, "What to do.", **where)
    flags.DEFINE_bool("resume", False, "Go on from the last checkpoint.", **where)
    flags.DEFINE_bool("overwrite", False, "Replace the folder's run.", **where)
    flags.DEFINE_string(
        "shared_passes", None, "train: folder of passes that runs take alike.", **where
    )
    flags.DEFINE_string(
        "serving_dir", None, "export: write DIR/<version>/ for TF Serving.", **where
    )
    flags.DEFINE_multi_string(
        "user", [], "recommend: a raw user id; repeatable.", **where
    )
    flags.DEFINE_enum("users", None, ["all"], "recommend: to everybody.", **where)
    flags.DEFINE_integer(
        "k", 10, "recommend: items for each user.", lower_bound=1, **where
    )
    flags.DEFINE_string(
        "output", None, "recommend: FILE.csv, .parquet or .json.", **where
    )
    return values


def separate(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Parts the keys (`--config.key=value`) from the flags, in any order."""
    keys: list[str] = []
    others: list[str] = []
    value_follows = False
    for argument in arguments:
        is_key = re.match(r"--?(no)?config\.", argument) is not None
        is_value = value_follows and not argument.startswith("--")
        (keys if is_key or is_value else others).append(argument)
        value_follows = is_key and "=" not in argument
    return keys, others


def _check_flags_of_mode(values: flags.FlagValues) -> None:
    for name, mode in _MODE_OF_FLAG.items():
        if values[name].present and values.mode != mode:
            raise UserError(
                f"`--{name}` belongs to --mode={mode}. Received: --mode={values.mode}"
            )
    if values.resume and values.overwrite:
        raise UserError("Only one of --resume and --overwrite can be given.")
    if values.mode == "recommend" and bool(values.user) == bool(values.users):
        raise UserError(
            "`--mode=recommend` needs --user=RAW_ID (repeatable) or --users=all."
        )
    if values.output and Path(values.output).suffix not in OUTPUT_SUFFIXES:
        raise UserError(
            f"`--output` must end in {', '.join(OUTPUT_SUFFIXES)}. "
            f"Received: {values.output}"
        )


def _is_run(folder: Path) -> bool:
    """Of one seed, or of several in folders of their own."""
    return any(folder.glob("config.json")) or any(folder.glob("seed_*/config.json"))


def _read_config(
    argument: str, keys: Sequence[str]
) -> tuple[config_dict.ConfigDict, dict[str, Any]]:
    """Loads `FILE[:DATA]` and sets the keys of the command line.

    Without `:DATA`, data chosen by a key choose the tuned values too: those of
    `data.name`, and the general ones for the user's own file.
    """
    name, colon, data = argument.partition(":")
    path = config_files.find(name)
    config = config_files.load(path, data if colon else None)
    required = {"model.name", *config_files.flatten(_base())}
    missing = sorted(required - set(config_files.flatten(config)))
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing[:3])}: start from get_config() of "
            "dsl_tf.configs.base and set model.name."
        )
    overrides = config_files.override(config, keys)
    chosen = "own" if config.data.path else overrides.get("data.name")
    if chosen and not colon and config_files.takes_data(path):
        config = config_files.load(path, chosen)
        overrides = config_files.override(config, keys)
    if config.budget.bytes < 0:
        raise UserError(
            f"`budget.bytes` must be at least 0. Received: {config.budget.bytes}."
        )
    config_files.check_names(config_files.flatten(config))
    check_budget(config, overrides)
    return config, overrides


def check_budget(config: config_dict.ConfigDict, given: Mapping[str, Any]) -> None:
    """A budget in bytes picks what else a user could have asked for.

    Args:
      config: the whole config.
      given: keys that the user set or varies, and what the message says of them.

    Raises:
      UserError: both are asked for; or a format for a budget that there is not.
    """
    asked = given.get("budget.bytes", config.budget.bytes)
    of_file = given.get("budget.format", config.budget.format)
    if of_file and not asked:
        raise UserError(
            "`budget.format` is of the file that `budget.bytes` is for, which must be "
            f"given too. Received: budget.format={of_file}, budget.bytes=0."
        )
    picked = [key for key in _PICKED if key in given]
    if asked and picked:
        raise UserError(
            f"`budget.bytes` picks `{picked[0]}`: only one of the two can be given. "
            f"Received: budget.bytes={asked}, {picked[0]}={given[picked[0]]}."
        )


def _export_overrides(mode: str, keys: Sequence[str]) -> dict[str, Any]:
    """The `export.*` keys, which alone may differ from those of the run."""
    overrides = config_files.override(_base(), keys)
    fixed = [key for key in overrides if not key.startswith("export.")]
    if mode != "export" or fixed:
        raise UserError(
            f"`--mode={mode}` takes the config of the run"
            + ("; only export.* can be changed." if mode == "export" else ".")
            + f" Received: {keys[0] if not fixed else f'--config.{fixed[0]}'}"
        )
    return overrides


def _base() -> config_dict.ConfigDict:
    return config_files.load(config_files.find("base.py"))
