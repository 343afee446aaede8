"""The one exception that a user's mistake raises."""


class UserError(ValueError):
    """A mistake in what the user gave: a key, a file, a name, a folder.

    Its message is one line that states the rule, then the value received.
    The commands print it without a traceback and exit with code 2.
    """
