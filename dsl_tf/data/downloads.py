"""Downloads from official sources, checked, into Keras's cache folder."""

import hashlib
import os
import pathlib
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import tf_keras as keras

from dsl_tf import locks
from dsl_tf.errors import UserError

#: Seconds without an answer after which a connection is given up.
TIMEOUT = 30.0


def fetch(url: str, name: str, checksum: str) -> pathlib.Path:
    """A file from its official source, downloaded once, with progress.

    It lies in `~/.keras/datasets/dsl_tf` (or under KERAS_HOME). The checksum is
    compared at every call, so a partial file of a killed download is fetched
    anew, never used. Of several processes one downloads it, and the others wait.

    Args:
      url: where the file is.
      name: its path in the cache, such as `"gowalla/train.txt"`.
      checksum: sha256 or md5 of the file, hexadecimal.

    Raises:
      UserError: no network, or a file of another content.
    """
    folder, _, filename = name.rpartition("/")
    try:
        with locks.in_turn(_turn(url)), _timeout(TIMEOUT):
            path = keras.utils.get_file(
                filename,
                url,
                file_hash=checksum,
                cache_subdir=f"datasets/dsl_tf/{folder}",
            )
    except ValueError as error:  # what `get_file` raises for a wrong hash
        raise UserError(
            f"A download must have the checksum {checksum}. Received: another "
            f"content from {url}. {OTHERWISE}"
        ) from error
    except Exception as error:  # `get_file` raises bare Exceptions
        reason = " ".join(str(error.__context__ or error).split())
        raise UserError(
            f"{url} must be reachable to download {filename}. Received: {reason}. "
            f"{OTHERWISE}"
        ) from error
    return pathlib.Path(path)


OTHERWISE = (
    "Or name a folder that holds the data sets: --config.data.root=DIR or the "
    "variable DSL_TF_DATA."
)


def _turn(url: str) -> pathlib.Path:
    """The folder that is held while this user downloads from an address."""
    name = hashlib.sha256(f"{os.getuid()} {url}".encode()).hexdigest()
    return pathlib.Path(tempfile.gettempdir()) / f"dsl_tf-{name[:16]}.fetching"


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    # `urlretrieve`, which `get_file` calls, knows no other timeout.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
