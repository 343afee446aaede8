"""Processes that end with the one that started them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dsl_tf import children, locks
from dsl_tf.errors import UserError

#: A command of a module that is not the package's, in the current folder.
COMMAND = """
import sys, time
from pathlib import Path
from dsl_tf import locks

def main(argv):
    if argv[1] == "wait":
        with locks.held(Path("held")):
            time.sleep(60)
    print(*argv[1:])
    return 3
"""

#: Starts the command, and waits to be killed.
PARENT = """
import time
from dsl_tf import children
with open("log", "wb") as log, children.started("command", ["wait"], log):
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current one, with the module `command`."""
    (tmp_path / "command.py").write_text(COMMAND)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _wait_for_the_child(folder):
    lock = folder / "held" / locks.LOCK
    while not (lock.exists() and lock.read_text()):
        time.sleep(0.1)
    with pytest.raises(UserError):
        locks.held(folder / "held").__enter__()


def test_a_command_runs_to_its_end(folder):
    with (
        (folder / "log").open("wb") as log,
        children.started("command", ["a", "b=c d"], log) as process,
    ):
        assert process.wait(60) == 3
    assert (folder / "log").read_text() == "a b=c d\n"


def test_leaving_early_ends_it(folder):
    with (
        (folder / "log").open("wb") as log,
        children.started("command", ["wait"], log) as process,
    ):
        _wait_for_the_child(folder)
    assert process.returncode == -signal.SIGTERM


def test_a_child_ends_when_its_parent_is_killed(folder):
    with subprocess.Popen([sys.executable, "-c", PARENT]) as parent:
        _wait_for_the_child(folder)
        parent.kill()
    locks.wait(folder / "held", 30.0)
    with locks.held(folder / "held"):
        pass
