"""Where an export goes on, and when it does not: nothing is silently skipped, and nothing mixed.

1. An archive of another namespace, or of a later generation: refused.
2. Parts without a manifest: refused; the export would take them for leftovers.
3. A log that ends below the mark, or has another record in front of it, was recreated: refused.
4. A log that begins above the mark was trimmed: refused, unless the gap is to be noted.
5. A first export begins where the log begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from services.log.protocol import Bounds, EventLog, Record, Topic
from services.trainer.archive import MANIFEST_NAME, Archive, Gap
from services.trainer.archive_place import ArchiveError


class Start(NamedTuple):
    """A partition is read from `offset` to below `end`. `check`: hash of the last record archived."""

    offset: int
    end: int
    check: str = ""
    gap: Gap | None = None


async def choose_starts(
    archive: Archive, log: EventLog, bounds: Mapping[int, Bounds], namespace: str, *, allow_gap: bool
) -> dict[int, Start]:
    """A start for each partition; a new archive gets its manifest. Raises ArchiveError."""
    manifest, url = archive.manifest, archive.place.url
    # 1.
    if archive.exists and manifest.namespace != namespace:
        raise ArchiveError(
            f"{url} is the archive of namespace {manifest.namespace!r}, not of {namespace!r}; take a folder "
            "for each namespace, or set FRESHET_NAMESPACE"
        )
    newest = max((mark.generation for mark in manifest.marks), default=log.generation)
    if newest > log.generation:
        raise ArchiveError(
            f"{url} already holds generation {newest} of the log, and user deletions in it are done: events "
            f"of generation {log.generation} cannot be added any more. Export them to another folder, or set "
            f"FRESHET_LOG_GENERATION={newest}"
        )
    # 2.
    if archive.is_orphaned():
        raise ArchiveError(
            f"{url} holds parts of an archive but no {MANIFEST_NAME}; put it back, or take an empty folder"
        )
    for mark in manifest.marks:
        if mark.generation == log.generation and mark.next and mark.partition not in bounds:
            where = f"the events log (generation {log.generation})"
            raise ArchiveError(_recreated(archive, where, f"has no partition {mark.partition}", mark.next))
    starts = {
        partition: await _start(archive, log, partition, held, allow_gap=allow_gap)
        for partition, held in bounds.items()
    }
    gaps = [start.gap for start in starts.values() if start.gap is not None]
    if not archive.exists or gaps:
        manifest.namespace = namespace
        manifest.gaps += gaps
        archive.save()
    return starts


async def _start(archive: Archive, log: EventLog, partition: int, held: Bounds, *, allow_gap: bool) -> Start:
    mark = archive.manifest.mark(log.generation, partition)
    at = mark.next if mark is not None else 0
    where = f"partition {partition} of the events log (generation {log.generation})"
    # 3.
    if at > held.end:
        raise ArchiveError(_recreated(archive, where, f"ends at offset {held.end}", at))
    if mark is not None and mark.check and at > held.first:
        record = await log.read_at(Topic.EVENTS, partition, at - 1)
        if record is not None and check_of(record) != mark.check:
            raise ArchiveError(_recreated(archive, where, f"has another record at offset {at - 1}", at))
    if at >= held.first:
        return Start(at, held.end, mark.check if mark is not None else "")
    # 4.
    gap = Gap(log.generation, partition, at, held.first)
    if archive.manifest.marks and not allow_gap:
        raise ArchiveError(
            f"{where} begins at offset {held.first}, but {archive.place.url} ends at offset {at}: "
            f"{held.first - at:,} records were trimmed before they were archived. --allow-gap goes on from "
            "what is left and notes the gap; export more often, or let the log hold more "
            "(FRESHET_LOG_MAX_RECORDS, or the topic's retention)"
        )
    # 5.
    return Start(held.first, held.end, "", gap)


def check_of(record: Record) -> str:
    """16 hex digits by which a record is known again."""
    return blake2b(record.value or b"", digest_size=8).hexdigest()


def _recreated(archive: Archive, where: str, finding: str, at: int) -> str:
    return (
        f"{where} {finding}, but {archive.place.url} is archived up to offset {at}: the log was recreated or "
        "restored from an older copy, or is another one. Look at FRESHET_LOG_URL and FRESHET_NAMESPACE; for "
        "a log that was recreated raise FRESHET_LOG_GENERATION, or export to another folder"
    )
