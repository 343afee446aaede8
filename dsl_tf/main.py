"""Train, evaluate, export and ask a small recommender.

    python -m dsl_tf.main --config=configs/neumf.py
    python -m dsl_tf.main --config=configs/neumf.py:ml-1m --config.data.root=DIR
    python -m dsl_tf.main --config=configs/neumf.py --config.data.path=FILE
    python -m dsl_tf.main --mode=evaluate --output_dir=DIR
    python -m dsl_tf.main --mode=export --output_dir=DIR --serving_dir=DIR
    python -m dsl_tf.main --mode=recommend --output_dir=DIR --user=ID --k=10

A mistake of the user is one line on stderr and exit code 2; Ctrl-C is 130.
"""

import os
import shlex
import sys
from collections.abc import Sequence

from dsl_tf import command_line, flags

_HELP = ("--help", "-help", "-h", "-?", "--helpfull", "--helpshort")


def main(argv: Sequence[str]) -> int:
    """Runs one command line.

    Args:
      argv: the program's name, then the arguments.

    Returns:
      The exit code: 0, 2 for a user's mistake, 130 for Ctrl-C.
    """
    if any(argument in _HELP for argument in argv[1:]):
        print(f"{__doc__}\n{flags.help_text()}")
        return 0
    command: flags.Command | None = None

    def run() -> int:
        nonlocal command
        command = flags.parse(argv)
        _run(command)
        return 0

    return command_line.exit_code(run, lambda: _resume_hint(command, argv))


def _run(command: flags.Command) -> None:
    with command_line.importing_tensorflow():
        from dsl_tf import experiment

    match command.mode:
        case "train":
            experiment.train(
                command.config,
                command.output_dir,
                resume=command.resume,
                overwrite=command.overwrite,
                command=command.text,
                shared_passes=command.shared_passes,
            )
        case "evaluate":
            experiment.evaluate(command.output_dir)
        case "export":
            experiment.export(
                command.output_dir, command.serving_dir, command.overrides
            )
        case "recommend":
            from dsl_tf import recommend

            recommendations = experiment.recommend(
                command.output_dir, command.users, command.k
            )
            recommend.write(recommendations, command.output)


def _resume_hint(command: flags.Command | None, argv: Sequence[str]) -> str:
    """How to go on with a training that had begun; '' where none had."""
    if command is None or command.mode != "train":
        return ""
    if not os.path.isdir(command.output_dir):
        return ""
    arguments = [
        each for each in argv[1:] if each.lstrip("-") not in ("overwrite", "resume")
    ]
    return f"Go on with: python -m dsl_tf.main {shlex.join([*arguments, '--resume'])}"


if __name__ == "__main__":
    sys.exit(main(sys.argv))
