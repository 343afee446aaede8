"""What ends a command is one line and an exit code."""

import errno

import pytest
import tensorflow as tf
from absl import flags

from dsl_tf.command_line import exit_code
from dsl_tf.errors import UserError


def _raise(error):
    raise error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("The rule.\nReceived: 3."), "Error: The rule. Received: 3."),
        (OSError(errno.ENOSPC, "No space left", "a/b"), "The disk is full: a/b."),
        (
            FileExistsError(errno.EEXIST, "File exists", "a/b"),
            "A file stands where a folder is needed: a/b.",
        ),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "a/b"),
            "A folder stands where a file is needed: a/b.",
        ),
        (flags.Error("Unknown\nflag."), "Error: Unknown flag."),
        (PermissionError(errno.EACCES, "denied", "a/b"), "No permission: a/b."),
        (OSError(errno.EROFS, "read-only", "a/b"), "The folder is read-only: a/b."),
        (
            tf.errors.ResourceExhaustedError(
                None, None, "a/b; No space left on device"
            ),
            "The disk is full: a/b; No space left on device.",
        ),
    ],
)
def test_a_mistake_or_a_bad_disk_is_one_line(capsys, error, expected):
    assert exit_code(lambda: _raise(error)) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert expected in printed


def test_the_hint_follows_what_can_go_on(capsys):
    assert exit_code(lambda: _raise(KeyboardInterrupt()), lambda: "Again.") == 130
    assert capsys.readouterr().err == "\nStopped. Again.\n"
    full = OSError(errno.ENOSPC, "No space left", "a/b")
    assert exit_code(lambda: _raise(full), lambda: "Again.") == 2
    assert capsys.readouterr().err == "Error: The disk is full: a/b. Again.\n"
    # What the user has to mend first cannot.
    assert exit_code(lambda: _raise(UserError("A rule.")), lambda: "Again.") == 2
    assert capsys.readouterr().err == "Error: A rule.\n"


@pytest.mark.parametrize("code", [0, 1])
def test_the_code_is_the_action_s(code, capsys):
    assert exit_code(lambda: code) == code
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), OSError(errno.EBADF, "bad"), ValueError("disk")]
)
def test_our_own_mistakes_keep_their_traceback(error):
    with pytest.raises(type(error)):
        exit_code(lambda: _raise(error))
