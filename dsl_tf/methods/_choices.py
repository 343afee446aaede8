"""What a method finds out on validation, and what that took."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from dsl_tf.accounting import size
from dsl_tf.files import write_json


class Choice(NamedTuple):
    """Something found out.

    Attributes:
      value: JSON-ready.
      seconds: that it took.
      peak_rss_bytes: the most memory of the process meanwhile.
    """

    value: Any
    seconds: float
    peak_rss_bytes: int


class Choices:
    """Choices of a run by name: made once, for a refit and every resume.

    Args:
      folder: that has them, in `choices.json`.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "choices.json"

    def known(self, name: str) -> Choice:
        """A choice that was made before.

        Raises:
          KeyError: it was not.
        """
        return Choice(**self._read()[name])

    def get(self, name: str, compute: Callable[[], Any]) -> Choice:
        """The choice of a name; it is computed where it is not known."""
        known = self._read()
        if name not in known:
            size.reset_peak()
            begun = time.perf_counter()
            value = compute()
            seconds = round(time.perf_counter() - begun, 6)
            known[name] = Choice(value, seconds, size.peak_rss_bytes())._asdict()
            write_json(self._path, known)
        return Choice(**known[name])

    def _read(self) -> dict[str, Any]:
        if not self._path.exists():
            return {}
        known: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
        return known
