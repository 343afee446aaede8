import os
import subprocess
import sys

import pytest

from dsl_tf import environment

GOOD = {"tensorflow": "2.21.0", "tf-keras": "2.21.0"}


def test_this_environment_is_fine():
    environment.check()


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (GOOD, None),
        ({"tensorflow-cpu": "2.21.0", "tf-keras": "2.21.0"}, None),
        ({"tensorflow": "2.21.1rc1", "tf-keras": "2.21.0"}, None),
        (GOOD | {"scann": "1.4.3"}, None),
        ({}, "found none"),
        (GOOD | {"tensorflow": "2.20.0"}, "found tensorflow 2.20.0"),
        (GOOD | {"tensorflow": "3.21.0"}, "found tensorflow 3.21.0"),
        (
            GOOD | {"tensorflow-cpu": "2.21.0"},
            "found tensorflow 2.21.0 and tensorflow-cpu 2.21.0",
        ),
        (GOOD | {"tf-nightly": "2.23.0.dev1"}, "only one TensorFlow"),
        ({"tensorflow": "2.21.0"}, "tf_keras 2.21 is needed, found none"),
        (GOOD | {"tf-keras": "2.20.1"}, "tf_keras 2.21 is needed, found 2.20.1"),
        (GOOD | {"scann": "1.4.2"}, "pip uninstall scann"),
    ],
)
def test_problem_of_the_packages(versions, expected):
    message = environment.problem(versions, "1", keras_3=False)
    if expected is None:
        assert message is None
    else:
        assert expected in message
        assert "\n" not in message


def test_problem_of_the_keras():
    assert "TF_USE_LEGACY_KERAS=0" in environment.problem(GOOD, "0", keras_3=False)
    assert "already Keras 3" in environment.problem(GOOD, "1", keras_3=True)
    assert environment.problem(GOOD, "True", keras_3=False) is None


def _python(code, **variables):
    kept = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_legacy_keras_switched_off_is_an_import_error():
    result = _python(
        "from dsl_tf import environment; environment.check()", TF_USE_LEGACY_KERAS="0"
    )
    assert result.returncode == 1
    assert "ImportError" in result.stderr.splitlines()[-1]
    assert "TF_USE_LEGACY_KERAS=0" in result.stderr.splitlines()[-1]


def test_keras_3_in_use_is_an_import_error():
    result = _python(
        "import tensorflow as tf; tf.keras.version\n"
        "from dsl_tf import environment; environment.check()"
    )
    assert result.returncode == 1
    assert "already Keras 3" in result.stderr.splitlines()[-1]


@pytest.mark.slow
def test_tensorflow_imported_before_is_fine():
    result = _python(
        "import tensorflow as tf\n"
        "import dsl_tf; from dsl_tf import environment; environment.check()\n"
        "import tf_keras; assert tf.keras.layers.Layer is tf_keras.layers.Layer"
    )
    assert result.returncode == 0, result.stderr


def test_native_log_is_hidden(capfd):
    with environment.native_log_hidden():
        os.write(2, b"I0000 noise\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


@environment.native_log_hidden()
def _fail_natively():
    os.write(2, b"E0000 the reason\n")
    raise ZeroDivisionError


def test_native_log_is_shown_if_the_block_raises(capfd):
    with pytest.raises(ZeroDivisionError):
        _fail_natively()
    assert capfd.readouterr().err == "E0000 the reason\n"
