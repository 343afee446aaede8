"""The one exception that a user's mistake raises."""

from collections.abc import Mapping
from typing import Any


class UserError(ValueError):
    """A mistake in what the user gave: a key, a file, a name, a folder.

    Its message is one line that states the rule, then the value received.
    The commands print it without a traceback and exit with code 2.
    """


def check_keys(
    section: str, config: Mapping[str, Any], **rules: tuple[bool, str]
) -> None:
    """Checks values of a section of the config.

    Args:
      section: its name, such as `"model"`.
      config: its values by key.
      **rules: for a key, whether its value is valid, and what it must be.

    Raises:
      UserError: one is not; the first in the order of the rules.
    """
    for key, (valid, rule) in rules.items():
        if not valid:
            raise UserError(
                f"`{section}.{key}` must be {rule}. Received: {config[key]}."
            )
