"""What the commands share: how TensorFlow is imported, and what ends a command."""

import contextlib
import errno
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence

import absl.logging
from absl import flags

from dsl_tf.environment import native_log_hidden
from dsl_tf.errors import UserError

#: Of a user's mistake, and of Ctrl-C.
MISTAKE, INTERRUPTED = 2, 130

#: What the operating system says when the user's disk or folder is at fault.
_DISK_ERRORS = {
    errno.ENOSPC: "The disk is full",
    errno.EFBIG: "The file is larger than the system allows",
    errno.EDQUOT: "The disk quota is used up",
    errno.EACCES: "No permission",
    errno.EPERM: "No permission",
    errno.EROFS: "The folder is read-only",
    errno.ENAMETOOLONG: "The name is too long for the file system",
    errno.ENOENT: "No such file or folder",
    errno.ENOTDIR: "A file stands where a folder is needed",
    errno.EEXIST: "A file stands where a folder is needed",
    errno.EISDIR: "A folder stands where a file is needed",
}


@contextlib.contextmanager
def importing_tensorflow() -> Iterator[None]:
    """Within it TensorFlow is imported, whose log is not shown from then on.

    It is not imported at the top of modules that a command begins with: it takes
    seconds, and a wrong flag should not. What matters of its log arrives as an
    exception as well.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    absl.logging.set_verbosity(absl.logging.ERROR)
    with native_log_hidden():
        yield


def exit_code(action: Callable[[], int], hint: Callable[[], str] = lambda: "") -> int:
    """Takes an action; says in one line what a user, the disk or Ctrl-C ended.

    Args:
      action: the command; returns its exit code.
      hint: how to go on with what the disk or Ctrl-C ended; asked for only then.

    Returns:
      The action's code, `MISTAKE` or `INTERRUPTED`. Other exceptions are raised: they
      are mistakes of the program.
    """
    try:
        return action()
    except (UserError, flags.Error) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print(f"\n{_sentences('Stopped.', hint())}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        message = _disk_message(error)
        if message is None:
            raise
        return _fail(_sentences(message, hint()))


def read(
    values: flags.FlagValues, arguments: Sequence[str], description: str, rule: str
) -> bool:
    """Reads the flags of a command that has `--config` and takes flags only.

    Args:
      values: its flags, `config` and `help` among them.
      arguments: the program's name, then the flags.
      description: of the command, above its flags in the help.
      rule: what is said where there is no config, or something else than flags.

    Returns:
      Whether to go on; not after the help.

    Raises:
      UserError: the rule is broken.
      flags.Error: a flag does not exist, or its value is not allowed.
    """
    positional = values(list(arguments))[1:]
    if values.help:
        print(f"{description}\n{values.get_help()}")
        return False
    if positional or not values.config:
        received = positional[0] if positional else "no --config"
        raise UserError(f"{rule} Received: {received}.")
    return True


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
    return MISTAKE


def _sentences(first: str, second: str) -> str:
    return f"{first} {second}".rstrip()
