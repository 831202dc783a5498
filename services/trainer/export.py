"""`freshet events export`: the events of the log as an archive of Parquet files, continued with every run.

1. Take the place; read the manifest; refuse a log that is not the one that it continues.
2. Read from the marks to the ends that the log has now, so that this is a job that exits. Events wait as
   rows, partition by partition; a user deletion is noted, and who denies personalisation (`refusals.py`).
3. Flush: write a part, then the manifest that lists it, moves the mark and names the deletions that are
   pending. Killed in between, the part is not listed and the next run reads those records again.
4. Remove what deletions ask for from all parts (`forgetting.py`).
5. Remove files that killed runs have left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from services.kernel.event import Event, PoisonError, UserDeletion, decode_log_value
from services.kernel.position import Position
from services.log.protocol import EventLog, Record, Topic
from services.trainer.archive import Archive, Gap, Mark
from services.trainer.archive_place import ArchiveError, ArchivePlace
from services.trainer.archive_rows import SCHEMA, batch_of
from services.trainer.export_start import Start, check_of, choose_starts
from services.trainer.forgetting import forget, without_forgotten, write_part
from services.trainer.refusals import REFUSALS_MAX, TTL_DAYS, Changes, Refusals, Verdict

Progress = Callable[[int, int], None]  # records read, records there are

# One part is read whole when it is rewritten, and one row group is decoded at once by readers.
PART_ROWS_MAX: Final = 500_000
PART_BYTES_MAX: Final = 64 << 20  # of Arrow memory; 5 to 15 MB as Parquet
# All partitions together; the largest is flushed when they pass it, so that memory does not grow with them.
_WAITING_BYTES_MAX: Final = 96 << 20
# Applied before more are noted: each is a line of the manifest and an entry in memory.
_PENDING_MAX: Final = 50_000
_FETCH_RECORDS: Final = 5_000
_FETCH_WAIT_MS: Final = 500
# Silence for so long, and the offsets that are missing are looked at one by one; then the log is given up.
_SILENCE_S: Final = 3.0
_PATIENCE_S: Final = 60.0
_PROBES: Final = 256  # offsets without a record at the end of a partition (ends of transactions)
# What the profilers take for poison as well: the end of the year 9999.
_TIME_MAX_MS: Final = 253_402_300_800_000


@dataclass(frozen=True, slots=True)
class Exported:
    """What a run did. `positions`: the last offset archived, by partition of the log's generation.

    `events_deleted` were removed or never written because a deletion, or a withdrawal of consent, came after
    them; `events_withheld` were left out because their subject denied personalisation when they came.
    """

    url: str
    events: int
    parts: int
    poison: int
    deletions: int
    events_deleted: int
    refusals: int  # people who deny personalisation now
    events_withheld: int
    archive_events: int
    archive_parts: int
    positions: tuple[str, ...]
    gaps: tuple[Gap, ...]
    took_s: float


async def export_events(
    place: ArchivePlace,
    log: EventLog,
    *,
    namespace: str = "",
    allow_gap: bool = False,
    progress: Progress = lambda _done, _total: None,
    part_rows: int = PART_ROWS_MAX,
    refusal_days: int = TTL_DAYS,
    refusals_max: int = REFUSALS_MAX,
) -> Exported:
    """Bring the archive at `place` up to the log's end as it is now. Raises ArchiveError, LogError.

    `allow_gap` goes on where the log no longer holds what comes next, and notes the gap. Parts have about
    `part_rows` rows at most. A refusal of consent is forgotten with the profile, after `refusal_days` of
    silence. Memory: about 96 MiB of rows, one part while it is written, 100 bytes a refusal.
    """
    began_s = time.monotonic()
    # 1.
    with place.held():
        archive = Archive(place)
        leftovers = archive.leftovers()
        bounds = await log.bounds(Topic.EVENTS)
        starts = await choose_starts(archive, log, bounds, namespace, allow_gap=allow_gap)
        refusals = Refusals(archive.manifest.refusals, ttl_days=refusal_days, most=refusals_max)
        run = _Run(archive, log, starts, refusals, progress=progress, part_rows=part_rows)
        # 2. and 3.
        await run.read()
        await run.settle()
        await run.prune()
        # 5.
        archive.check_unchanged()
        for name in leftovers:
            place.delete(name)
    return run.result(time.monotonic() - began_s)


@dataclass(slots=True)
class _Waiting:
    """Rows of one partition that are in no part yet, and how far its reading is."""

    next: int
    end: int
    check: str
    batches: list[Any] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    poison: int = 0
    refusals: Changes = field(default_factory=dict)  # changed since the last flush


class _Starts:
    """The Assignment of a reader without a group: every partition from where the archive ends."""

    def __init__(self, starts: dict[int, Start]) -> None:
        self._starts = starts

    async def assigned(self, partitions: Sequence[int]) -> dict[int, int]:
        return {partition: self._starts[partition].offset for partition in partitions}

    async def revoked(self, partitions: Sequence[int]) -> None:
        """Never happens without a group."""


class _Run:
    """One export."""

    def __init__(
        self,
        archive: Archive,
        log: EventLog,
        starts: dict[int, Start],
        refusals: Refusals,
        *,
        progress: Progress,
        part_rows: int,
    ) -> None:
        self._archive = archive
        self._log = log
        self._starts = starts
        self._refusals = refusals
        self._progress = progress
        self._part_rows = part_rows
        self._waiting = {
            partition: _Waiting(start.offset, start.end, start.check) for partition, start in starts.items()
        }
        self._pending = archive.manifest.pending()
        self._total = sum(held.end - held.next for held in self._waiting.values())
        self._heard_s = time.monotonic()
        self._gaps = [start.gap for start in starts.values() if start.gap is not None]
        self._events = self._parts = self._poison = self._deletions = self._removed = self._withheld = 0

    async def read(self) -> None:
        """Steps 2 and 3: until no partition has records below the end that it had at the start."""
        if not any(held.next < held.end for held in self._waiting.values()):
            return
        consumer = self._log.consumer(Topic.EVENTS, None)
        try:
            await consumer.start(_Starts(self._starts))
            while any(held.next < held.end for held in self._waiting.values()):
                fetched = await consumer.fetch(_FETCH_RECORDS, _FETCH_WAIT_MS)
                for partition, records in fetched.items():
                    await self._refuse_if_trimmed(partition, records[0].position.offset)
                    self._take(partition, records)
                if fetched:
                    self._heard_s = time.monotonic()
                else:
                    await self._look_into_silence()
                await self._flush_full()
                left = sum(held.end - held.next for held in self._waiting.values())
                self._progress(self._total - left, self._total)
        finally:
            await consumer.stop()

    async def settle(self) -> None:
        """Flush everything; then step 4. Writes nothing where nothing is new."""
        before = self._archive.manifest.marks
        for partition in self._waiting:
            await self._flush(partition, save=False)
        pending = dict(self._pending)
        if self._archive.manifest.marks != before:
            await asyncio.to_thread(self._archive.save)
        self._removed += await asyncio.to_thread(forget, self._archive, pending)
        self._pending.clear()

    async def prune(self) -> None:
        """Let go of refusals that silence has ended; all partitions are read."""
        manifest = self._archive.manifest
        refusals = self._refusals.prune()
        if refusals != manifest.refusals:
            manifest.refusals = refusals
            await asyncio.to_thread(self._archive.save)

    def result(self, took_s: float) -> Exported:
        """What was done."""
        generation = self._log.generation
        return Exported(
            url=self._archive.place.url,
            events=self._events,
            parts=self._parts,
            poison=self._poison,
            deletions=self._deletions,
            events_deleted=self._removed,
            refusals=len(self._refusals),
            events_withheld=self._withheld,
            archive_events=self._archive.manifest.events,
            archive_parts=len(self._archive.manifest.parts),
            positions=tuple(
                str(Position(generation, partition, held.next - 1))
                for partition, held in sorted(self._waiting.items())
                if held.next
            ),
            gaps=tuple(self._gaps),
            took_s=took_s,
        )

    def _take(self, partition: int, records: Sequence[Record]) -> None:
        held = self._waiting[partition]
        events: list[Event] = []
        positions: list[Position] = []
        for record in records:
            if record.position.offset >= held.end:  # came after the start: the next run's
                break
            held.next = record.position.offset + 1
            held.check = check_of(record)
            try:
                found = _decoded(record)
            except PoisonError:
                self._poison += 1
                held.poison += 1
                continue
            if isinstance(found, UserDeletion):
                self._deletions += 1
                self._pending[found.subject] = record.position
                self._refusals.forget(found.subject, held.refusals)
                continue
            verdict = self._refusals.judge(found, held.refusals)
            if verdict is Verdict.KEPT:
                events.append(found)
                positions.append(record.position)
                continue
            self._withheld += 1
            if verdict is Verdict.WITHDRAWN:
                self._pending[found.subject] = record.position
        if events:
            batch = batch_of(events, positions)
            held.batches.append(batch)
            held.rows += len(events)
            held.bytes += batch.nbytes

    async def _flush_full(self) -> None:
        for partition, held in self._waiting.items():
            if held.rows >= self._part_rows or held.bytes >= PART_BYTES_MAX:
                await self._flush(partition)
        while sum(held.bytes for held in self._waiting.values()) > _WAITING_BYTES_MAX:
            await self._flush(max(self._waiting, key=lambda partition: self._waiting[partition].bytes))
        if len(self._pending) > _PENDING_MAX:
            await self.settle()

    async def _flush(self, partition: int, *, save: bool = True) -> None:
        """Step 3. Rows whose user is deleted further on are never written."""
        held = self._waiting[partition]
        manifest = self._archive.manifest
        generation = self._log.generation
        if held.batches:
            table = pa.Table.from_batches(held.batches, SCHEMA)
            held.batches, held.rows, held.bytes = [], 0, 0
            kept = without_forgotten(table, generation, partition, self._pending)
            self._removed += table.num_rows - kept.num_rows
            self._events += kept.num_rows
            if kept.num_rows:
                manifest.parts.append(await asyncio.to_thread(write_part, self._archive, kept))
                self._parts += 1
        manifest.set_mark(Mark(generation, partition, held.next, held.check))
        manifest.set_pending(self._pending)
        manifest.refusals = self._refusals.save(held.refusals)
        manifest.poison += held.poison
        held.poison = 0
        if save:
            await asyncio.to_thread(self._archive.save)

    async def _refuse_if_trimmed(self, partition: int, offset: int) -> None:
        """Offsets without a record are usual; records removed while they were about to be read are not."""
        held = self._waiting[partition]
        if offset <= held.next or held.next >= held.end:
            return
        now = await self._log.bounds(Topic.EVENTS)
        if now[partition].first > held.next:
            raise ArchiveError(
                f"partition {partition} of the events log was trimmed while it was read: offsets {held.next} "
                f"to {now[partition].first - 1} are gone. What is archived is kept; let the log hold more, "
                "and run the export again with --allow-gap"
            )

    async def _look_into_silence(self) -> None:
        """Pass offsets that hold no record; give up a log that holds some and does not send them."""
        silent_s = time.monotonic() - self._heard_s
        if silent_s < _SILENCE_S:
            return
        for partition, held in self._waiting.items():
            await self._refuse_if_trimmed(partition, held.end)
            for _ in range(_PROBES):
                if held.next >= held.end:
                    break
                if await self._log.read_at(Topic.EVENTS, partition, held.next) is not None:
                    break
                held.next += 1
        if silent_s > _PATIENCE_S:
            raise ArchiveError(
                f"the events log has sent nothing for {_PATIENCE_S:.0f} s although it holds more records. "
                "What is archived is kept; look at the log (`freshet doctor`), and run the export again"
            )


def _decoded(record: Record) -> Event | UserDeletion:
    ce_type = next((value for name, value in record.headers if name == "ce_type"), b"")
    found = decode_log_value(ce_type.decode("utf-8", "replace"), record.value)
    if isinstance(found, Event) and max(found.timestamp, found.received_at) > _TIME_MAX_MS:
        raise PoisonError("not an event: timestamp or received_at lies beyond the year 10,000")
    return found
