"""`freshet events import`: a file of events into a running Freshet, once however often it is killed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from services.cli.checkpoint import open_checkpoint
from services.cli.client import FreshetClient
from services.cli.failure import CommandError
from services.cli.lanes import LANES, Parcel, Refusal, deliver
from services.cli.mapping import ColumnMapping, check_columns, mapper
from services.cli.progress import progress
from services.cli.refusals import RefusalFile
from services.cli.rows import Row, RowFile
from services.cli.upload import ImportMarks, post
from services.kernel.cells import check_cells
from services.kernel.event import Event

NEEDED = (("user_id", "anonymous_id"), ("event_type",))  # without them no row of a file can be accepted
_FIELDS = frozenset(Event.__struct_fields__)


@dataclass(frozen=True)
class EventImport:
    """What the command line said."""

    source: RowFile
    mapping: ColumnMapping
    state_dir: Path
    rejects: Path | None = None
    restart: bool = False
    quiet: bool = False


async def import_events(job: EventImport, client: FreshetClient) -> dict[str, Any]:
    """Run the import and answer its figures. Raises CommandError."""
    file, state = open_checkpoint(
        job.state_dir, job.source, _told(job, client.url), LANES, restart=job.restart
    )
    refusals = RefusalFile(job.rejects or file.path.with_suffix(".rejects.ndjson"), state.rejects_bytes)
    accepted_before, before = state.accepted, state.accepted + state.rejected
    began_s = time.monotonic()
    with file.held():
        if not state.finished:
            marks = ImportMarks(state, file, refusals)
            try:
                await _deliver(job, client, state.identity, marks)
            finally:
                refusals.close()
            state.finish()
            await marks.save()
    took_s = time.monotonic() - began_s
    now = state.accepted + state.rejected - before
    return {
        "accepted": state.accepted,
        "accepted_this_run": state.accepted - accepted_before,
        "rejected": state.rejected,
        "rejects_file": str(refusals.path) if state.rejected else None,
        "rows_this_run": now,
        "rows_before": before,
        "seconds": round(took_s, 3),
        "events_per_s": round(now / took_s) if now and took_s else 0,
        "checkpoint": str(file.path),
    }


async def _deliver(job: EventImport, client: FreshetClient, identity: str, marks: ImportMarks) -> None:
    with progress(f"events from {job.source.name}", job.source.size_bytes, quiet=job.quiet) as show:

        def looked_at(_rows: int) -> None:
            state = marks.state
            note = f"{state.accepted:,} in" + (f", {state.rejected:,} refused" if state.rejected else "")
            show(job.source.done_bytes, note)

        async def send(parcels: list[Parcel]) -> list[Refusal]:
            return await post(client, "/events", parcels)

        await deliver(_parcels(job, identity), send, marks, looked_at)


def _told(job: EventImport, url: str) -> str:
    """Hash of what the command line says beside the file: read or mapped otherwise, it makes other events."""
    said = [job.mapping.identity(), job.source.format, job.source.delimiter, url]
    return hashlib.blake2b(msgspec.json.encode(said), digest_size=8).hexdigest()


def _parcels(job: EventImport, identity: str) -> Iterator[Parcel]:
    convert = mapper(job.mapping)
    encode = msgspec.json.Encoder().encode
    for row in job.source.rows():
        if row.number == 0:
            check_columns(job.mapping, job.source.columns, NEEDED)
        yield parcel_of(row, convert, encode, f"import-{identity}-{row.number}")


def parcel_of(
    row: Row, convert: Callable[[Row], dict[str, Any]], encode: Callable[[Any], bytes], event_id: str
) -> Parcel:
    """One row on its way; `event_id` is for a row that has none of its own."""
    if row.values is None:
        return Parcel(row.number, "", b"", Refusal(row.number, "unreadable_row", row.error))
    try:
        event = convert(row)
        check_cells(event, _FIELDS)
        event.setdefault("event_id", event_id)
        subject = str(event.get("user_id", event.get("anonymous_id", "")))
        return Parcel(row.number, subject, encode(event))
    except (ValueError, TypeError, OverflowError) as error:
        return Parcel(row.number, "", b"", Refusal(row.number, "unreadable_row", str(error)))


def preview(job: EventImport, count: int) -> list[dict[str, Any]]:
    """The first events as they would be sent. Raises CommandError for an empty file, and for the first row
    that would be refused here."""
    convert = mapper(job.mapping)
    found: list[dict[str, Any]] = []
    for row in job.source.rows():
        if row.values is not None:
            check_columns(job.mapping, job.source.columns, NEEDED)
            found.append(previewed(row, convert))
        if len(found) == count:
            break
    if not found:
        raise CommandError(f"{job.source.name}: no row could be read")
    return found


def previewed(row: Row, convert: Callable[[Row], dict[str, Any]]) -> dict[str, Any]:
    """One row as it would be sent. Raises CommandError with its number, from 1."""
    try:
        event = convert(row)
        check_cells(event, _FIELDS)
    except ValueError as error:
        raise CommandError(f"row {row.number + 1}: {error}") from None
    return event
