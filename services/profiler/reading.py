"""From records of the events topic to what the updater applies."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, NamedTuple

from services.kernel.change import change_of
from services.kernel.event import Event, PoisonError, UserDeletion, decode_log_value
from services.kernel.event_type import EventTypes, UnknownEventTypeError
from services.kernel.position import Position
from services.kernel.profile import Change
from services.log.protocol import Record

CE_TYPE: Final = "ce_type"
_TIME_MAX_MS: Final = 253_402_300_800_000  # ingest refuses the far future; other producers may not


class Work(NamedTuple):
    """One record, decoded. `change` for an event, `deletion` for a user's, neither for poison."""

    record: Record
    subject: str
    event: Event | None
    deletion: UserDeletion | None
    poison: str  # the reason, or nothing

    @property
    def position(self) -> Position:
        """Where the record stands."""
        return self.record.position

    def change(self, types: EventTypes) -> Change:
        """What the event does. `read_record` has made sure that its type is known."""
        assert self.event is not None
        return change_of(self.event, self.record.position, types)


def read_record(record: Record, types: EventTypes) -> Work:
    """Decode one record; what can never be applied comes out as poison with its reason."""
    try:
        decoded = decode_log_value(ce_type_of(record), record.value)
        if isinstance(decoded, UserDeletion):
            if not 0 <= decoded.received_at <= _TIME_MAX_MS:
                raise PoisonError("not a user deletion: received_at lies beyond the year 10,000")
            return Work(record, decoded.subject, None, decoded, "")
        types.number(decoded.event_type)
        if max(decoded.timestamp, decoded.received_at) > _TIME_MAX_MS:
            raise PoisonError("not an event: timestamp or received_at lies beyond the year 10,000")
    except (PoisonError, UnknownEventTypeError) as error:
        return Work(record, "", None, None, str(error))
    return Work(record, decoded.subject, decoded, None, "")


def ce_type_of(record: Record) -> str:
    """The record's `ce_type` header, empty where it has none."""
    for name, value in record.headers:
        if name == CE_TYPE:
            return value.decode("utf-8", "replace")
    return ""


def check_of(work: Work) -> int:
    """The u64 by which a fence recognises its record, the same whether the record was pulled or pushed."""
    if work.event is not None:
        text = f"{work.event.event_id}\n{work.event.received_at}".encode()
    elif work.deletion is not None:
        text = f"{work.deletion.user_id}\n{work.deletion.received_at}".encode()
    else:
        text = work.record.value or b""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
