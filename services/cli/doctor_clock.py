"""Whether the clocks of a deployment agree: of this machine, the store, the log, the server and ingest."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from services.cli.client import FreshetClient, default_url
from services.cli.failure import CommandError
from services.cli.findings import Finding, Patient
from services.cli.log_records import records_below
from services.kernel.event import PoisonError, decode_log_value
from services.kernel.event_input import MAX_FUTURE_MS
from services.log.protocol import Record, Topic
from services.store.errors import StoreError

CLOCK_WARN_MS = 1_000  # NTP keeps machines within some ms; a second is a clock that nobody sets
# A Date header has whole seconds, and servers make it once a second.
_DATE_BEHIND_MS = 2_000
_NEWEST_RECORDS = 20  # of each partition
_MEND = (
    "let both take their time from NTP (timedatectl set-ntp true; a container has its host's clock): events "
    f"more than {MAX_FUTURE_MS // 60_000} minutes ahead of ingest's clock are rejected, and trends and "
    "sessions are told by time"
)


async def clocks(patient: Patient) -> AsyncIterator[Finding]:
    """Compare them. Raises LogError; a store or a server that tells no time is passed over."""
    if (ahead_ms := await _ahead_of_store_ms(patient)) is not None:
        yield clock_finding("this machine", "store", ahead_ms)
    if (ahead_ms := await _ahead_of_server_ms()) is not None:
        yield clock_finding("this machine", "server", ahead_ms, at_least=True)
    newest = await _newest_records(patient)
    now_ms = time.time() * 1000
    # What lies in the past says nothing about a clock; what was appended later than now does.
    behind_ms = max((record.timestamp_ms - now_ms for record in newest), default=0.0)
    if behind_ms > CLOCK_WARN_MS:
        yield clock_finding("this machine", "log", -behind_ms, at_least=True)
    # Ingest stamps an event before the log does.
    stamped = (taken_ms - record.timestamp_ms for record in newest for taken_ms in _taken(record))
    ingest_ms = max(stamped, default=0)
    if ingest_ms > CLOCK_WARN_MS:
        yield clock_finding("ingest", "log", ingest_ms, at_least=True)


def clock_finding(one: str, other: str, ahead_ms: float, *, at_least: bool = False) -> Finding:
    """How far `one` is ahead of `other`, and what to do from CLOCK_WARN_MS on."""
    details = {"clock": one, "of": other, "ahead_ms": round(ahead_ms), "at_least": at_least}
    by = f"{'at least ' if at_least else ''}{abs(ahead_ms):,.0f} ms"
    told = f"{one} is {by} {'ahead of' if ahead_ms > 0 else 'behind'} the {other}"
    if abs(ahead_ms) > CLOCK_WARN_MS:
        return Finding("warn", "clock", told, _MEND, details)
    if at_least:
        told = f"{one} and the {other} agree, as far as can be seen"
    return Finding("ok", "clock", told, details=details)


def ahead_of_date_ms(sent_ms: float, received_ms: float, date_ms: float) -> float:
    """How far this machine is ahead of a Date header at least; 0 where it may well be right.

    The header was made between sending and receiving, from a time up to _DATE_BEHIND_MS later than it says.
    """
    if sent_ms > date_ms + _DATE_BEHIND_MS:
        return sent_ms - date_ms - _DATE_BEHIND_MS
    return min(0.0, received_ms - date_ms)


async def _ahead_of_store_ms(patient: Patient) -> float | None:
    asked_ms = time.time() * 1000
    try:
        reply: Any = await patient.connection.execute("TIME")
    except StoreError:  # a cluster has no one clock, and managed servers may forbid the question
        return None
    middle_ms = (asked_ms + time.time() * 1000) / 2
    return middle_ms - (int(reply[0]) * 1000 + int(reply[1]) / 1000)


async def _ahead_of_server_ms() -> float | None:
    sent_ms = time.time() * 1000
    try:
        async with FreshetClient(default_url(), "") as client:
            answer = await client.call("GET", "/readyz")
    except CommandError:  # nobody there; the server's own finding says so
        return None
    if answer.date_s is None:
        return None
    return ahead_of_date_ms(sent_ms, time.time() * 1000, answer.date_s * 1000)


async def _newest_records(patient: Patient) -> list[Record]:
    found: list[Record] = []
    for partition, held in (await patient.log.bounds(Topic.EVENTS)).items():
        first = max(held.first, held.end - _NEWEST_RECORDS)
        async for records in records_below(patient.log, Topic.EVENTS, partition, first, held.end):
            found += records
    return found


def _taken(record: Record) -> list[int]:
    """When ingest took the event, where the record is one."""
    kind = dict(record.headers).get("ce_type", b"").decode("utf-8", "replace")
    try:
        return [decode_log_value(kind, record.value).received_at]
    except PoisonError:
        return []
