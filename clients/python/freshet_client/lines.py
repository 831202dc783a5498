"""The lines of POST /recommend/batch."""

from __future__ import annotations

import json
from typing import cast

from freshet_client.answers import BatchLine
from freshet_client.errors import UnreachableError


class Lines:
    """Reads one answer: `take` each of its lines, then `finish`."""

    def __init__(self) -> None:
        self._done = False

    def take(self, line: str) -> BatchLine | None:
        """The user of a line; None for the last line, which counts them."""
        decoded = json.loads(line)
        if "done" in decoded:
            self._done = True
            return None
        return cast(BatchLine, decoded)

    def finish(self) -> None:
        """Raises UnreachableError where the answer ended too early; the users that came are good."""
        if not self._done:
            raise broken_off("the answer ended before its last line")


def broken_off(why: str) -> UnreachableError:
    """The error of a stream that ended too early."""
    return UnreachableError("broken_off", f"{why}; ask again for the users that did not come")
