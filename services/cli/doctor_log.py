"""What `freshet doctor` finds on the log: how much there is, what is dead, what waits too long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

from services.cli.findings import Finding, Patient
from services.log.protocol import Bounds, Record, Topic
from services.store.aggregates import AggregateReader

_LAG_WARN_RECORDS = 10_000  # some seconds of work; more means an import, or a profiler down or too slow
_WAIT_WARN_S = 15.0  # a profiler at zero is awake by then: KEDA looks every 5 s, and a start takes some more
_CATCH_UP_S = 1.0  # looked at twice, so far apart, it shows whether anything is applied


async def log(patient: Patient) -> AsyncIterator[Finding]:
    """Records of each topic; of dead ones the newest, with its reason. Raises LogError."""
    for topic in (Topic.EVENTS, Topic.ITEMS):
        bounds = await patient.log.bounds(topic)
        held = sum(bound.end - bound.first for bound in bounds.values())
        yield Finding("ok", "log", f"{topic.value}: {len(bounds)} partitions, {held:,} records")
    bounds = await patient.log.bounds(Topic.DEAD)
    dead = sum(bound.end - bound.first for bound in bounds.values())
    if dead:
        count = "1 record" if dead == 1 else f"{dead:,} records"
        told = f"{count} could not be applied; {await _newest_dead(patient, bounds)}"
        mend = "mend what wrote them, then send them again; docs/OPERATIONS.md, “Dead letters”"
        yield Finding("warn", "log", told, mend)


async def _newest_dead(patient: Patient, bounds: Mapping[int, Bounds]) -> str:
    newest: list[Record] = []
    for partition, bound in bounds.items():
        if bound.end > bound.first:
            newest += await patient.log.read_from(Topic.DEAD, partition, bound.end - 1, 1)
    if not newest:
        return "they are gone by now"
    record = max(newest, key=lambda one: one.timestamp_ms)
    told = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    ago = _span(time.time() - record.timestamp_ms / 1000)
    if "freshet_dead_reason" in told:
        place = f"{told.get('freshet_dead_topic', '?')} {told.get('freshet_dead_position', '?')}"
        return f"the newest, {place}, {ago} ago: {told['freshet_dead_reason']}"
    code, where = told.get("ce_knativeerrorcode", "?"), told.get("ce_knativeerrordest", "?")
    return f"the newest, {ago} ago, was given up by a KafkaSource: {code} from {where}"


async def lag(patient: Patient) -> AsyncIterator[Finding]:
    """Events that are not applied yet, and whether they move. Raises LogError, StoreError."""
    if patient.meta is None:
        return
    bounds = await patient.log.bounds(Topic.EVENTS)
    nexts = await _nexts(patient, bounds)
    for partition, bound in sorted(bounds.items()):
        place, at = f"partition {partition}", nexts[partition]
        if at > bound.end:
            mend = (
                f"FRESHET_LOG_GENERATION={patient.log.generation + 1} on every service keeps what the store "
                "knows; `freshet replay --allow-partial` leaves what the log holds now, and nothing else"
            )
            text = f"{place}: the log ends before what is applied, so the topic was recreated"
            yield Finding("fail", "profiler", text, mend)
        elif 0 < at < bound.first:
            text = f"{place}: {bound.first - at:,} records were trimmed before they were applied"
            yield Finding("fail", "profiler", text, "freshet replay --allow-partial")
    lags = [
        max(0, bound.end - max(bound.first, nexts[partition])) for partition, bound in sorted(bounds.items())
    ]
    told = f"lag {sum(lags):,} records ({', '.join(map(str, lags))} by partition)"
    waits_s = await _oldest_s(patient, bounds, nexts)
    if max(lags, default=0) <= _LAG_WARN_RECORDS and waits_s <= _WAIT_WARN_S:
        yield Finding("ok", "profiler", told)
        return
    began_s = time.monotonic()
    await asyncio.sleep(_CATCH_UP_S)
    later = await _nexts(patient, bounds)
    applied = sum(max(0, later[partition] - nexts[partition]) for partition in bounds)
    per_s = applied / (time.monotonic() - began_s)
    if per_s > 0:
        left = max(0, sum(lags) - applied)
        yield Finding("ok", "profiler", f"{told}, done in about {left / per_s:,.0f} s at {per_s:,.0f}/s")
        return
    told = f"{told}: none was applied within {_CATCH_UP_S:.0f} s, the oldest waits for {_span(waits_s)}"
    mend = "is a profiler running? its /readyz and its log say what holds it (at zero: what should wake it)"
    yield Finding("warn", "profiler", told, mend)


async def _nexts(patient: Patient, bounds: Mapping[int, Bounds]) -> dict[int, int]:
    """Of each partition the offset that is applied next; 0 where nothing of this generation was."""
    if patient.meta is None:
        return dict.fromkeys(bounds, 0)
    fences = await AggregateReader(patient.connection).fences(patient.meta.epoch, len(bounds))
    found = {}
    for partition, fence in zip(sorted(bounds), fences, strict=True):
        ours = fence is not None and fence.position.generation == patient.log.generation
        found[partition] = fence.position.offset + 1 if fence is not None and ours else 0
    return found


async def _oldest_s(patient: Patient, bounds: Mapping[int, Bounds], nexts: Mapping[int, int]) -> float:
    """For how long the oldest event waits that is not applied."""
    since_s = now_s = time.time()
    for partition, bound in bounds.items():
        if nexts[partition] < bound.end:
            for record in await patient.log.read_from(Topic.EVENTS, partition, nexts[partition], 1):
                since_s = min(since_s, record.timestamp_ms / 1000)
    return now_s - since_s


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
