"""One writer at a time in a folder, whatever ends it."""

import contextlib
import errno
import fcntl
import os
import platform
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from dsl_tf.errors import UserError

#: The file that is locked, and says by whom; there while the folder is held.
LOCK = ".lock"

#: How often a folder that is held is tried again, in seconds.
_EVERY = 0.1


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Within it no other process holds the folder.

    The system releases the lock of a process that ends, however it ends, so nothing
    has to be tidied up by hand. On a file system without locks nobody is refused.

    Args:
      folder: made where there is none, and deleted again if nothing is in it then.

    Raises:
      UserError: another process holds it, or this one already does.
      NotADirectoryError: something else has its name.
    """
    descriptor = _locked(folder)
    try:
        yield
    finally:
        # Deleted while it is held: whoever has it open finds that it is another file.
        (folder / LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something is in it
            folder.rmdir()
        os.close(descriptor)


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """`held`, once nobody else holds the folder, however long that takes."""
    with contextlib.ExitStack() as turn:
        while True:
            try:
                turn.enter_context(held(folder))
                break
            except UserError:
                time.sleep(_EVERY)
        yield


def wait(folder: Path, seconds: float) -> None:
    """Wait until nobody holds a folder, or so many seconds have gone by."""
    end = time.monotonic() + seconds
    while (folder / LOCK).exists() and time.monotonic() < end:
        with contextlib.suppress(UserError), held(folder):
            return
        time.sleep(_EVERY)


def _locked(folder: Path) -> int:
    """A descriptor that holds the lock until it is closed."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            if _is_no_folder(folder):
                words = os.strerror(errno.ENOTDIR)
                raise NotADirectoryError(errno.ENOTDIR, words, str(folder)) from None
            continue  # it was deleted before mkdir had looked what it is
        try:
            descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the folder was deleted just now
            continue
        try:
            _lock(descriptor, folder)
            if _is_there(descriptor, folder / LOCK):
                os.ftruncate(descriptor, 0)
                holder = f"process {os.getpid()} on {platform.node()}"
                os.write(descriptor, holder.encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace")
        raise UserError(
            "One process at a time may write to a folder. "
            f"Received: {folder}, to which {holder or 'another one'} writes."
        ) from None
    except OSError:
        pass  # the file system has no locks


def _is_there(descriptor: int, file: Path) -> bool:
    """Whether a file that was opened is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _is_no_folder(path: Path) -> bool:
    """Whether something else has the name; one look, as it may go at any time."""
    try:
        return not stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False
