"""Many events or items: cut into requests that ingest takes, each entry followed until it has an outcome."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from freshet_client.errors import FreshetError, UnsentError
from freshet_client.flow import Answer, Flow, NoAnswer, Patience, Request
from freshet_client.sent import Accepted, Rejected, Sent

BATCH_ENTRIES: Final = 1000  # what ingest takes in one request
BATCH_BYTES: Final = 900 * 1024  # ingest takes 1 MiB; the rest is room for what is not counted here
# A profile remembers its last 128 events. With half of that in a request, one that is sent again is still
# recognised when 64 other events of the same user have come in between.
BATCH_OF_SUBJECT: Final = 64
_TOO_LARGE: Final = 413


class Kind(NamedTuple):
    """Events or items."""

    path: str
    id_name: str


EVENTS: Final = Kind("/events", "event_id")
ITEMS: Final = Kind("/items", "item_id")


@dataclass(frozen=True, slots=True)
class Parcel:
    """An entry on its way; `entry` has its id."""

    index: int
    id: str
    subject: str
    entry: dict[str, Any]
    body: bytes


@dataclass(slots=True)
class _Batch:
    parcels: list[Parcel] = field(default_factory=list)
    subjects: Counter[str] = field(default_factory=Counter)
    bytes: int = 0

    def has_room(self, parcel: Parcel) -> bool:
        return (
            len(self.parcels) < BATCH_ENTRIES
            and self.bytes + len(parcel.body) < BATCH_BYTES
            and self.subjects[parcel.subject] < BATCH_OF_SUBJECT
        )

    def add(self, parcel: Parcel) -> None:
        self.parcels.append(parcel)
        self.subjects[parcel.subject] += 1
        self.bytes += len(parcel.body) + 1


def event_id() -> str:
    """A UUIDv7 (RFC 9562)."""
    number = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80 | secrets.randbits(80)
    number = number & ~(0xF000 << 64) | 0x7000 << 64  # version 7
    return str(UUID(int=number & ~(0xC000 << 48) | 0x8000 << 48))  # variant 10


def send(kind: Kind, entries: Iterable[Mapping[str, Any]], patience_s: float) -> Flow[Sent]:
    """Send all; `patience_s` is that of each request. Raises UnsentError."""
    sent = Sent()
    for parcels in _batches(kind, entries):
        yield from _deliver(kind, parcels, sent, patience_s)
    sent.rejected.sort(key=lambda one: one.index)
    return sent


def to_json(value: object) -> bytes:
    """JSON, dates in RFC 3339. Raises TypeError for what JSON cannot say, ValueError for NaN."""
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
    ).encode()


def _plain(value: object) -> object:
    if isinstance(value, date):  # datetimes too
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON: {value!r:.100}")


def _batches(kind: Kind, entries: Iterable[Mapping[str, Any]]) -> Iterator[list[Parcel]]:
    batch = _Batch()
    for index, entry in enumerate(entries):
        parcel = _parcel(kind, index, entry)
        if batch.parcels and not batch.has_room(parcel):
            yield batch.parcels
            batch = _Batch()
        batch.add(parcel)
    if batch.parcels:
        yield batch.parcels


def _parcel(kind: Kind, index: int, given: Mapping[str, Any]) -> Parcel:
    entry = dict(given)
    if kind is EVENTS and entry.get("event_id") is None:
        entry["event_id"] = event_id()
    entry_id = str(entry.get(kind.id_name, ""))
    named = (entry.get("user_id"), entry.get("anonymous_id")) if kind is EVENTS else (entry_id,)
    subject = next((str(name) for name in named if name is not None), "")
    return Parcel(index, entry_id, subject, entry, to_json(entry))


def _deliver(kind: Kind, parcels: list[Parcel], sent: Sent, patience_s: float) -> Flow[None]:
    """Post until every entry has an outcome.

    1. Post what has none.
    2. Note what the answer says of each entry.
    3. Cut what is too large for this server; wait and go on with what is left.
    """
    left = parcels
    patience = Patience(patience_s)
    while left:
        # 1.
        told = yield Request(
            "POST", kind.path, b"[" + b",".join(one.body for one in left) + b"]", to="ingest"
        )
        assert told is not None
        # 2.
        if isinstance(told, Answer):
            left = _settle(left, told, sent)
            if not left:
                return
            # 3.
            if told.status == _TOO_LARGE:
                middle = len(left) // 2
                yield from _deliver(kind, left[:middle], sent, patience_s)
                yield from _deliver(kind, left[middle:], sent, patience_s)
                return
        pause = patience.pause(told) if told.may_pass else None
        if pause is None:
            cause = _cause(kind, told)
            raise UnsentError(cause, sent, [one.entry for one in left]) from cause
        yield pause


def _settle(parcels: list[Parcel], told: Answer, sent: Sent) -> list[Parcel]:
    """Note the outcomes that an answer names; what has none yet."""
    members = told.members()
    if told.status == _TOO_LARGE and len(parcels) == 1:
        only, why = parcels[0], told.error()
        sent.rejected.append(Rejected(only.index, only.id, why.code, why.detail))
        return []
    refused = {one["index"]: one for one in members.get("rejected", ())}
    positions: dict[int, str] = {}
    for one in members.get("outcomes", ()):
        if one["outcome"] == "accepted":
            positions[one["index"]] = one["position"]
        elif not str(one["code"]).startswith("log_"):  # the log was away or full: that may pass
            refused[one["index"]] = one
    if told.ok:
        taken = [index for index in range(len(parcels)) if index not in refused]
        positions = dict(zip(taken, members.get("positions", ()), strict=False))
    left = []
    for index, parcel in enumerate(parcels):
        if index in positions:
            sent.accepted.append(Accepted(parcel.id, positions[index], parcel.subject))
        elif index in refused:
            reason = refused[index]
            error = str(reason.get("error") or told.error().detail)
            sent.rejected.append(Rejected(parcel.index, parcel.id, str(reason["code"]), error))
        else:
            left.append(parcel)
    return left


def _cause(kind: Kind, told: Answer | NoAnswer) -> FreshetError:
    if told.ok:
        return FreshetError("not_freshet", f"{kind.path} was answered without the outcome of what was sent")
    return told.error()
