"""Processes that end when the one that started them ends, however it ends.

    python -m dsl_tf.children dsl_tf.main --config=configs/mf.py

runs `dsl_tf.main` as `python -m dsl_tf.main` does, for as long as standard input is
open: it is a pipe, whose other end the parent holds until the system closes it.
"""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import IO

#: Seconds that a process gets to write its checkpoint before it is killed.
PATIENCE = 60.0


@contextlib.contextmanager
def started(
    module: str, arguments: Sequence[str], log: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Within it a command of this package runs as a process of its own.

    It is ended, as by `end`, if the block is left before it has ended by itself.

    Args:
      module: whose `main(argv)` it is, such as `dsl_tf.main`.
      arguments: of the command.
      log: gets what it prints.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "dsl_tf.children", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        # A group of its own: Ctrl-C reaches it once, from here.
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Let a process write its checkpoint, and kill it if that takes too long."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(argv: Sequence[str]) -> int:
    """Run a command until it, or the parent, ends.

    Args:
      argv: the program's name, the module, the command's arguments.

    Returns:
      The command's exit code.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code: int = importlib.import_module(argv[1]).main(argv[1:])
    return code


def _end_with_parent() -> None:
    # Not `sys.stdin`, whose lock a thread would hold at the end of the process.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    # Still there: a signal handler waits for a checkpoint.
    threading.Event().wait(PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
