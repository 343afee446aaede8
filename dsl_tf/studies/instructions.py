"""Instructions that a run took, counted by the processor, where `perf` can.

Seconds depend on what else the machine does; these hardly do. Many virtual machines
have no such counter: then there are none.
"""

import contextlib
import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_EVENT = "instructions:u"
_PERF = ("perf", "stat", "-x,", f"--event={_EVENT}")
#: Seconds that `perf` gets to write its count after the process has ended.
_PATIENCE = 10.0


@contextlib.contextmanager
def counting(pid: int, file: Path) -> Iterator[None]:
    """Within it the instructions of a process and its threads are counted.

    Args:
      pid: of the process, which should just have begun, and end within.
      file: gets the count as one more line.
    """
    if not available():
        yield
        return
    with subprocess.Popen(
        [*_PERF, f"--output={file}", "--append", f"--pid={pid}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the process
    ) as perf:
        try:
            yield
        finally:
            try:
                perf.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                perf.kill()


def counted(file: Path) -> int | None:
    """The instructions of all runs that a file has the counts of; None without any."""
    if not file.is_file():
        return None
    lines = [line.split(",") for line in file.read_text("utf-8").splitlines()]
    counts = [
        int(count) for count, *rest in lines if _EVENT in rest and count.isdecimal()
    ]
    return sum(counts) if counts else None


@functools.cache
def available() -> bool:
    """Whether there is a `perf`, and a counter that it may read."""
    if shutil.which("perf") is None:
        return False
    found = subprocess.run(
        [*_PERF, "--", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split(",") for line in found.stderr.splitlines()]
    return any(_EVENT in rest and count.isdecimal() for count, *rest in lines)
