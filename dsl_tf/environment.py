"""The check at `import dsl_tf`: one TensorFlow, of the right version, on Keras 2.

TensorFlow Recommenders works with Keras 2 (`tf_keras`) only, `tf_keras` with
TensorFlow of its own minor version only, and two TensorFlow packages overwrite
each other's files. Each of these otherwise ends in a long traceback from deep
inside. The check reads package metadata, so it costs milliseconds and does not
import TensorFlow.
"""

import contextlib
import importlib.metadata
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping

#: The minor version of TensorFlow and of tf_keras that the package is made for.
MINOR = (2, 21)

#: Packages that install a folder `tensorflow`, each over the others.
TENSORFLOWS = (
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-gpu",
    "tensorflow-macos",
    "tensorflow-rocm",
    "intel-tensorflow",
    "tf-nightly",
    "tf-nightly-cpu",
)

#: ScaNN up to here breaks `import tensorflow_recommenders` by being installed.
BROKEN_SCANN = (1, 4, 2)


def check() -> None:
    """Asks TensorFlow for Keras 2, and checks that it can and will be so.

    Raises:
      ImportError: one line says what is wrong and what to do.
    """
    legacy_keras = os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    message = problem(_installed(), legacy_keras, _has_keras_3())
    if message:
        raise ImportError(f"dsl_tf cannot run here: {message}")


def problem(
    versions: Mapping[str, str], legacy_keras: str, keras_3: bool
) -> str | None:
    """What is wrong with an environment.

    Args:
      versions: installed version by package name; only those installed.
      legacy_keras: value of the variable TF_USE_LEGACY_KERAS.
      keras_3: whether `tf.keras` was already loaded as Keras 3.

    Returns:
      One line, or None if all is well.
    """
    minor = ".".join(map(str, MINOR))
    found = [name for name in TENSORFLOWS if name in versions]
    listed = " and ".join(f"{name} {versions[name]}" for name in found)
    if len(found) > 1:
        return (
            f"only one TensorFlow may be installed, found {listed}. Uninstall them "
            f'all, then: pip install "tensorflow=={minor}.*"'
        )
    if not found or _numbers(versions[found[0]])[:2] != MINOR:
        return (
            f"TensorFlow {minor} is needed, found {listed or 'none'}. "
            f'pip install "tensorflow=={minor}.*"'
        )
    tf_keras = versions.get("tf-keras", "none")
    if _numbers(tf_keras)[:2] != MINOR:
        return (
            f"tf_keras {minor} is needed, found {tf_keras}. "
            f'pip install "tf_keras=={minor}.*"'
        )
    if "scann" in versions and _numbers(versions["scann"]) <= BROKEN_SCANN:
        return (
            "scann breaks TensorFlow Recommenders with this TensorFlow, found "
            f"scann {versions['scann']}. pip uninstall scann"
        )
    if legacy_keras.lower() not in ("1", "true"):
        return (
            "TensorFlow Recommenders needs Keras 2, found TF_USE_LEGACY_KERAS="
            f"{legacy_keras}. Unset it, or set it to 1."
        )
    if keras_3:
        return (
            "tf.keras is already Keras 3 in this process. Import dsl_tf before "
            "using tf.keras, or set TF_USE_LEGACY_KERAS=1."
        )
    return None


@contextlib.contextmanager
def native_log_hidden() -> Iterator[None]:
    """Hides what native code writes to stderr, unless the block raises.

    TensorFlow's C++ log lines before `absl::InitializeLog` ignore
    TF_CPP_MIN_LOG_LEVEL (tensorflow#100442), so the file descriptor is parked.
    """
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(original, hidden.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Within it, SIGTERM raises KeyboardInterrupt, as Ctrl-C does.

    Only a process's main thread may handle signals; in others it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _installed() -> dict[str, str]:
    versions = {}
    for name in (*TENSORFLOWS, "tf-keras", "scann"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _has_keras_3() -> bool:
    """Whether TensorFlow is loaded and its lazy `tf.keras` is Keras 3."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return False
    # Resolved by this access at the latest; only Keras 3 has a `version`.
    return getattr(tensorflow.keras, "version", None) is not None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version)[:3])
