"""Measure a setting in a process of its own, for honest memory."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

#: Marks a process that measures one setting.
_FLAG = "--setting="


def measured(module: str, setting: Mapping[str, Any]) -> dict[str, float]:
    """Run `python -m module` on one setting and wait for its numbers.

    Args:
      module: calls `answer` first thing.
      setting: JSON-ready.

    Raises:
      RuntimeError: it failed; the message ends with its standard error.
    """
    ran = subprocess.run(
        [sys.executable, "-m", module, _FLAG + json.dumps(setting)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"{setting}: exit {ran.returncode}\n{ran.stderr[-2000:]}")
    numbers: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return numbers


def answer(measure: Callable[..., dict[str, float]]) -> bool:
    """In a process started by `measured`: measure, print, and return True."""
    if not (len(sys.argv) == 2 and sys.argv[1].startswith(_FLAG)):
        return False
    print(json.dumps(measure(**json.loads(sys.argv[1].removeprefix(_FLAG)))))
    return True
