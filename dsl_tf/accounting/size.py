"""Bytes of variables and of this process."""

import contextlib
import ctypes
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf


def variable_bytes(variables: Iterable[tf.Variable]) -> int:
    """Σ elements · bytes an element, each variable once."""
    unique = {variable.ref(): variable for variable in variables}.values()
    return sum(each.shape.num_elements() * each.dtype.size for each in unique)


def reset_peak() -> None:
    """Measure `peak_rss_bytes` from now on (Linux; elsewhere without effect)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def release_free() -> None:
    """Give memory that is free back to the system (glibc; elsewhere no effect).

    Otherwise the allocator keeps what a phase of large arrays has freed, and
    often cannot use it again because it lies in pieces.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def rss_bytes() -> int:
    """Resident memory of this process now (Linux; elsewhere the peak)."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return peak_rss_bytes()


def peak_rss_bytes() -> int:
    """The most resident memory of this process since `reset_peak`, or at all."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not `ru_maxrss`, which begins with what the parent process had.
        lines = status.read_text().splitlines()
        for line in lines:
            if line.startswith("VmHWM:"):  # not every sandbox has it
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
