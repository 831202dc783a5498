"""A library that says the same again and again is heard once a minute.

While a broker is away, aiokafka writes some 150 lines a second, which would hide every other line and fill
the disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_EVERY_S = 60.0


class Sparing(logging.Filter):
    """Lets warnings and errors of one line of code through once in `every_s`; the next tells how many were
    held back."""

    def __init__(self, every_s: float = _EVERY_S, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._now_s = now_s
        self._held: dict[tuple[str, int], tuple[float, int]] = {}  # as many as the library has such lines

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; see logging.Filter."""
        if record.levelno < logging.WARNING:
            return True
        place = (record.name, record.lineno)
        until_s, held = self._held.get(place, (0.0, 0))
        now_s = self._now_s()
        if place in self._held and now_s < until_s:
            self._held[place] = (until_s, held + 1)
            return False
        self._held[place] = (now_s + self._every_s, 0)
        if held:
            record.msg = f"{record.getMessage()} (and {held:,} more like it in between)"
            record.args = ()
        return True


_SPARING = Sparing()


def spare_log(library: str) -> None:
    """Do so for all loggers that the library has made so far. May be called again."""
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and (name == library or name.startswith(f"{library}.")):
            logger.addFilter(_SPARING)
