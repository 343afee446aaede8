"""One writer at a time in a folder."""

import fcntl
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from dsl_tf import locks
from dsl_tf.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from dsl_tf import locks
with locks.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `tmp_path / "run"`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_until_the_first_is_killed(holder, tmp_path):
    folder = tmp_path / "run"
    refused = pytest.raises(UserError, match=f"{folder}, to which process {holder.pid}")
    with refused, locks.held(folder):
        pass
    holder.kill()
    holder.wait()
    with locks.held(folder):
        assert str(os.getpid()) in (folder / locks.LOCK).read_text()


def test_a_folder_is_held_once_and_leaves_no_trace(tmp_path):
    folder = tmp_path / "a" / "run"
    with locks.held(folder):
        with pytest.raises(UserError, match="One process at a time"):
            locks.held(folder).__enter__()
        with locks.held(tmp_path / "a" / "other"):
            pass
    assert not folder.exists()
    folder.mkdir()
    (folder / "log.txt").write_text("mine")
    with pytest.raises(RuntimeError), locks.held(folder):
        raise RuntimeError
    assert [file.name for file in folder.iterdir()] == ["log.txt"]


def test_waiting_ends_when_the_folder_is_free(holder, tmp_path):
    folder = tmp_path / "run"
    begun = time.monotonic()
    locks.wait(folder, 0.3)
    assert time.monotonic() - begun >= 0.3
    threading.Timer(0.3, holder.kill).start()
    locks.wait(folder, 60.0)
    assert holder.wait() < 0
    with locks.held(folder):
        pass


def test_nobody_waits_for_a_folder_that_is_free(tmp_path):
    begun = time.monotonic()
    locks.wait(tmp_path / "nowhere", 60.0)
    assert time.monotonic() - begun < 30.0
    assert not (tmp_path / "nowhere").exists()


def test_a_lock_that_was_deleted_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    """As by its holder, between the moments when it is opened and locked."""
    flock = fcntl.flock

    def after_the_holder_left(*arguments):
        monkeypatch.setattr(fcntl, "flock", flock)
        (tmp_path / "run" / locks.LOCK).unlink()
        (tmp_path / "run").rmdir()
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", after_the_holder_left)
    with locks.held(tmp_path / "run"), pytest.raises(UserError):
        locks.held(tmp_path / "run").__enter__()


def test_a_folder_that_is_deleted_while_it_is_made_is_made_anew(tmp_path, monkeypatch):
    """`Path.mkdir` raises where the folder goes before it has looked what it is."""
    mkdir = pathlib.Path.mkdir

    def deleted_meanwhile(folder, **arguments):
        monkeypatch.setattr(pathlib.Path, "mkdir", mkdir)
        raise FileExistsError(folder)

    monkeypatch.setattr(pathlib.Path, "mkdir", deleted_meanwhile)
    with locks.held(tmp_path / "run"):
        assert (tmp_path / "run" / locks.LOCK).exists()


@pytest.mark.parametrize("make", ["write_text", "symlink_to"])
def test_what_is_no_folder_is_told(tmp_path, make):
    getattr(tmp_path / "run", make)("nowhere")
    with pytest.raises(NotADirectoryError), locks.held(tmp_path / "run"):
        pass


def test_many_at_once_are_one_after_the_other(tmp_path):
    """Each deletes the lock and the folder, and another one makes them anew."""
    inside, most = [], []

    def take():
        for _ in range(50):
            try:
                with locks.held(tmp_path / "run"):
                    inside.append(None)
                    most.append(len(inside))
                    time.sleep(0)
                    inside.pop()
            except UserError:
                pass

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
