"""The records of one person on the log and in an archive, written out as they are found.

Memory is that of one read, or of one row group of an archive: nothing is collected.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from services.cli.failure import CommandError
from services.cli.log_records import records_below
from services.kernel.event import Event, PoisonError, UserDeletion, decode_log_value
from services.log.protocol import EventLog, Record, Topic

if TYPE_CHECKING:
    import pyarrow as pa

    from services.trainer.archive import Archive

Progress = Callable[[int, int], None]  # records read, records there are
# Events, and what could not be applied; the reader of dead letters is a person, so they are data as well.
_TOPICS = (Topic.EVENTS, Topic.DEAD)


class Subject:
    """Whose records are looked for: those that carry the id as key, user id or anonymous id."""

    def __init__(self, subject_id: str) -> None:
        self.id = subject_id
        self._key = subject_id.encode()
        self._quoted = msgspec.json.encode(subject_id)  # as canonical JSON has it

    def may_own(self, record: Record) -> bool:
        """Whether the id stands in a record at all: cheap, so that a long log is not decoded."""
        return record.key == self._key or (record.value is not None and self._quoted in record.value)

    def owns(self, found: Event | UserDeletion) -> bool:
        """Whether a record is about the subject, or ties the subject to another id."""
        if isinstance(found, UserDeletion):
            return found.user_id == self.id
        return self.id in {found.user_id, found.anonymous_id}

    def owns_key(self, record: Record) -> bool:
        """Whether a record that cannot be read was filed under the subject."""
        return record.key == self._key


@dataclass(slots=True)
class Found:
    """What was found in one place."""

    events: int = 0
    deletions: int = 0
    unreadable: int = 0
    looked_at: int = 0

    def summary(self) -> dict[str, int]:
        """The same as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


class Document:
    """Lines as they come, or one JSON value of the same content, written piece by piece."""

    def __init__(self, out: IO[bytes], *, whole: bool) -> None:
        self._out = out
        self._whole = whole
        self._records = 0

    def profile(self, content: Any) -> None:
        """The first line: what the store holds."""
        if self._whole:
            self._out.write(b'{"profile":' + msgspec.json.encode(content) + b',\n"records":[')
        else:
            self._line({"kind": "profile", "profile": content})

    def record(self, kind: str, source: str, position: str, content: Any) -> None:
        """One event, deletion or unreadable record."""
        entry = {"kind": kind, "source": source, "position": position, kind: content}
        if self._whole:
            self._out.write((b",\n" if self._records else b"\n") + msgspec.json.encode(entry))
        else:
            self._line(entry)
        self._records += 1

    def summary(self, content: Any) -> None:
        """The last line: what was looked at. A document without it is not complete."""
        if self._whole:
            self._out.write(b'\n],\n"summary":' + msgspec.json.encode(content) + b"}\n")
        else:
            self._line({"kind": "summary", "summary": content})
        self._out.flush()

    def _line(self, content: Any) -> None:
        self._out.write(msgspec.json.encode(content) + b"\n")


@contextmanager
def open_document(path: str | None, *, whole: bool) -> Iterator[Document]:
    """A document on standard output, or in a file that only its owner reads and that is there as a whole or
    not at all. Raises CommandError."""
    if path is None:
        yield Document(sys.stdout.buffer, whole=whole)
        return
    target = Path(path)
    draft = target.with_name(f".{target.name}-draft")
    try:
        draft.unlink(missing_ok=True)
        out = os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise CommandError(f"--to {path}: {error.strerror}") from None
    try:
        with out:
            yield Document(out, whole=whole)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


class _Part(NamedTuple):
    topic: Topic
    partition: int
    first: int
    end: int


async def read_log(log: EventLog, subject: Subject, document: Document, progress: Progress) -> Found:
    """Write the subject's records of the log as it is now; what comes later is not read. Raises LogError.

    All partitions are read: an event of a user may name the visitor that the user was before.
    """
    parts = [
        _Part(topic, partition, held.first, held.end)
        for topic in _TOPICS
        for partition, held in sorted((await log.bounds(topic)).items())
    ]
    found = Found()
    before, total = 0, sum(part.end - part.first for part in parts)
    for part in parts:
        async for records in records_below(log, *part):
            for record in records:
                if subject.may_own(record):
                    _take(record, part.topic, subject, document, found)
            found.looked_at += len(records)
            progress(before + records[-1].position.offset + 1 - part.first if records else before, total)
        before += part.end - part.first
        progress(before, total)
    return found


def _take(record: Record, topic: Topic, subject: Subject, document: Document, found: Found) -> None:
    headers = dict(record.headers)
    position = str(record.position)
    if topic is Topic.DEAD and headers.get("freshet_dead_topic") != Topic.EVENTS.value.encode():
        return
    source = "log" if topic is Topic.EVENTS else "dead letters"
    try:
        decoded = decode_log_value(headers.get("ce_type", b"").decode("utf-8", "replace"), record.value)
    except PoisonError:
        if subject.owns_key(record):
            found.unreadable += 1
            document.record("unreadable", source, position, (record.value or b"").decode("utf-8", "replace"))
        return
    if not subject.owns(decoded):
        return
    if isinstance(decoded, UserDeletion):
        found.deletions += 1
        document.record("deletion", source, position, decoded)
    else:
        found.events += 1
        document.record("event", source, position, decoded)


def read_archive(url: str, subject: Subject, document: Document, progress: Progress) -> Found:
    """Write the subject's events of an archive, in the order of the log. Raises ArchiveError."""
    from services.trainer.archive import MANIFEST_NAME, Archive
    from services.trainer.archive_place import ArchiveError, open_archive_place
    from services.trainer.archive_rows import events_of

    archive = Archive(open_archive_place(url))
    if not archive.exists:
        raise ArchiveError(f"{url}: no {MANIFEST_NAME} is there; --archive names what `events export` wrote")
    found = Found()
    for rows, looked_at in _rows_naming(archive, subject.id):
        for position, event in events_of(rows):
            found.events += 1
            document.record("event", "archive", str(position), event)
        found.looked_at += looked_at
        progress(found.looked_at, archive.manifest.events)
    return found


def _rows_naming(archive: Archive, subject_id: str) -> Iterator[tuple[pa.Table, int]]:
    """The rows of each row group that name the id, and how many rows it has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from services.trainer.archive import ordered
    from services.trainer.archive_place import ArchiveError
    from services.trainer.archive_rows import row_groups

    wanted = pa.array([subject_id], pa.string())
    for part in ordered(archive.manifest.parts):
        try:
            with archive.place.open(part.file) as file:
                for rows in row_groups(file):
                    users, visitors = (
                        pc.is_in(rows.column(name), value_set=wanted) for name in ("user_id", "anonymous_id")
                    )
                    yield rows.filter(pc.or_(users, visitors)), rows.num_rows
        except (OSError, pa.ArrowException) as error:
            raise ArchiveError(
                f"{part.file} cannot be read: {error}; if an export was at work meanwhile, run this again"
            ) from None
