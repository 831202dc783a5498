"""How a command fails: with a sentence that says what to do, and an exit status that scripts can rely on."""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2  # argparse's own
EXIT_PARTIAL = 3  # done, but rows were rejected or a check failed
EXIT_INTERRUPTED = 130  # what shells report for SIGINT


class CommandError(Exception):
    """The command cannot go on. `str` is the sentence for the user; no traceback is shown."""

    def __init__(self, message: str, exit_status: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_status = exit_status
