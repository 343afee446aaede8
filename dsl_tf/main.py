"""Train, evaluate, export and ask a small recommender.

    python -m dsl_tf.main --config=configs/neumf.py
    python -m dsl_tf.main --config=configs/neumf.py:ml-1m --config.data.root=DIR
    python -m dsl_tf.main --config=configs/neumf.py --config.data.path=FILE
    python -m dsl_tf.main --mode=evaluate --output_dir=DIR
    python -m dsl_tf.main --mode=export --output_dir=DIR --serving_dir=DIR
    python -m dsl_tf.main --mode=recommend --output_dir=DIR --user=ID --k=10

A mistake of the user is one line on stderr and exit code 2; Ctrl-C is 130.
"""

import errno
import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Sequence

import absl.logging

from dsl_tf import environment, flags
from dsl_tf.errors import UserError

_HELP = ("--help", "-help", "-h", "-?", "--helpfull", "--helpshort")

#: What the operating system says when the user's disk or folder is at fault.
_DISK_ERRORS = {
    errno.ENOSPC: "The disk is full",
    errno.EFBIG: "The file is larger than the system allows",
    errno.EDQUOT: "The disk quota is used up",
    errno.EACCES: "No permission",
    errno.EPERM: "No permission",
    errno.EROFS: "The folder is read-only",
    errno.ENOENT: "No such file or folder",
    errno.ENOTDIR: "A file stands where a folder is needed",
}


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
    command = None
    try:
        command = flags.parse(argv)
        _run(command)
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print(f"\nStopped.{_resume_hint(command, argv)}", file=sys.stderr)
        return 130
    except Exception as error:
        message = _disk_message(error)
        if message is None:
            raise
        started = command is not None and os.path.isdir(command.output_dir)
        return _fail(message + (_resume_hint(command, argv) if started else ""))
    return 0


def _run(command: flags.Command) -> None:
    # What matters of TensorFlow's log arrives as an exception as well.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    absl.logging.set_verbosity(absl.logging.ERROR)
    with environment.native_log_hidden():
        # Not at the top: TensorFlow takes seconds, a wrong flag should not.
        from dsl_tf import experiment

    match command.mode:
        case "train":
            experiment.train(
                command.config,
                command.output_dir,
                resume=command.resume,
                overwrite=command.overwrite,
                command=command.text,
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
    """How to go on with a training that ended too early; '' for other modes."""
    if command is None or command.mode != "train":
        return ""
    arguments = [
        each for each in argv[1:] if each.lstrip("-") not in ("overwrite", "resume")
    ]
    return f" Go on with: python -m dsl_tf.main {shlex.join([*arguments, '--resume'])}"


def _disk_message(error: Exception) -> str | None:
    """One line if the disk or a folder is at fault, else None.

    TensorFlow's file operations raise `OpError`s of their own, which carry the
    system's words; neither needs TensorFlow to be imported here.
    """
    from_tensorflow = any(each.__name__ == "OpError" for each in type(error).__mro__)
    if not from_tensorflow and not isinstance(error, OSError):
        return None
    for code, rule in _DISK_ERRORS.items():
        if getattr(error, "errno", None) == code:
            return f"{rule}: {getattr(error, 'filename', None) or error}."
        if os.strerror(code) in str(error):
            # TensorFlow puts the graph node before its words.
            words = re.sub(r"\{\{.*?\}\}\s*", "", str(error)).strip()
            return f"{rule}: {words.splitlines()[0]}."
    return None


def _fail(message: str) -> int:
    print(f"Error: {' '.join(message.splitlines())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv))
