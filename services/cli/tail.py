"""`freshet events tail`: events as they come in, read from the log without joining any group."""

from __future__ import annotations

import argparse
import asyncio
import select
import sys
from collections.abc import Sequence

import msgspec

from services.cli.backend import backend
from services.cli.failure import EXIT_OK
from services.cli.output import say
from services.local.settings import RunSettings
from services.log.open import open_log
from services.log.protocol import EventLog, Record, Topic

_FETCH_RECORDS = 500
_FETCH_WAIT_MS = 1000


def tail(arguments: argparse.Namespace) -> int:
    """Print one event a line until Ctrl-C, or until `-n` of them are shown."""
    with backend() as settings:
        asyncio.run(_tail(settings, arguments.from_start, arguments.n))
    return EXIT_OK


class _FromNow:
    """An Assignment that begins where the log ends."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def assigned(self, partitions: Sequence[int]) -> dict[int, int]:
        """See Assignment."""
        bounds = await self._log.bounds(Topic.EVENTS)
        return {partition: bounds[partition].end for partition in partitions}

    async def revoked(self, partitions: Sequence[int]) -> None:
        """See Assignment; there is nothing to commit."""


async def _tail(settings: RunSettings, from_start: bool, limit: int | None) -> None:
    log = open_log(settings)
    consumer = log.consumer(Topic.EVENTS, None)
    try:
        await consumer.start(None if from_start else _FromNow(log))
        left = limit
        if not from_start and sys.stdout.isatty():
            say("events as they come in, one a line; Ctrl-C ends it")
        while left is None or left > 0:
            for records in (await consumer.fetch(_FETCH_RECORDS, _FETCH_WAIT_MS)).values():
                for record in records[:left]:
                    _show(record)
                    left = left - 1 if left is not None else None
            sys.stdout.flush()
            if _nobody_reads():
                raise BrokenPipeError
    finally:
        await consumer.stop()
        await log.close()


def _nobody_reads() -> bool:
    """Whether the pipe behind standard output was closed, as by `| head -1`.

    A write would show it with the next event only, and in a quiet shop that is long.
    """
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # errors are told whatever is asked for
    except (AttributeError, OSError, ValueError):  # Windows; an output that is no file
        return False
    return any(state & select.POLLERR for _, state in poll.poll(0))


def _show(record: Record) -> None:
    """One line of JSON; what is none, from a producer of somebody's own, is told beside the result."""
    try:
        line = msgspec.json.encode(msgspec.json.decode(record.value or b"")).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        say(f"{record.position}: no JSON: {(record.value or b'')[:200].decode('utf-8', 'replace')!r}")
    else:
        sys.stdout.write(line + "\n")
