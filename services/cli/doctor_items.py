"""Items of the newest events that are in no catalogue, and what they may have been meant to be."""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable

import msgspec

from services.cli.findings import Finding, Patient
from services.cli.log_records import records_below
from services.kernel.event import Event, PoisonError, decode_log_value, item_lines
from services.kernel.event_type import UNRECORDED, EventTypes, UnknownEventTypeError
from services.kernel.ids import item_key
from services.log.protocol import Record, Topic
from services.store.catalogue import CatalogueReader

UNLISTED_WARN_SHARE = 0.05
# The newest of each partition, and of all: some MB of the log, read in a second or two.
_EVENTS_A_PARTITION = 2_000
_EVENTS_MAX = 20_000
_NAMED = 10
_MEND = (
    "import these items (freshet items import), or let events and items spell ids alike; GET /items lists "
    "the ids there are"
)
# Ids looked through for one that was meant; a larger catalogue is looked through up to here.
_IDS_MAX = 500_000
_CLOSE = 0.85  # of difflib's ratio: one letter of seven
_COMPARED_MAX = 2_000  # ids that difflib looks at, some 10 µs each
_PATH = re.compile(r"[/:#|]+")
_PUNCTUATION = re.compile(r"[\W_]+")
_NUMBERED = re.compile(r"[^\W\d]+(\d{3,})")


class Unlisted(msgspec.Struct):
    """An id that events name and the catalogue lacks; `meant`, where there is one, is likely what it is."""

    item_id: str
    lines: int
    meant: str | None = None


async def unlisted_items(patient: Patient, epoch: int) -> AsyncIterator[Finding]:
    """Compare the items of the newest events with the catalogue. Raises LogError, StoreError."""
    lines, events = await _newest_lines(patient)
    total = sum(lines.values())
    if not total:
        return
    reader = CatalogueReader(patient.connection)
    by_key = {item_key(item_id): item_id for item_id in lines}
    listed = await reader.item_ids(epoch, list(by_key))
    unlisted = Counter({item_id: lines[item_id] for key, item_id in by_key.items() if key not in listed})
    missing = sum(unlisted.values())
    told = f"{missing:,} of {total:,} items of the newest {events:,} events are in no catalogue"
    details = {"events": events, "lines": total, "unlisted_lines": missing, "unlisted": []}
    if not missing:
        told = f"all {total:,} item lines of the newest {events:,} events are on items that are in it"
    if missing <= UNLISTED_WARN_SHARE * total:
        yield Finding("ok", "catalogue", told, details=details)
        return
    most = [Unlisted(item_id, count) for item_id, count in unlisted.most_common(_NAMED)]
    known = await _listed_ids(reader, epoch)
    for one, meant in zip(most, likely_ids([one.item_id for one in most], known), strict=True):
        one.meant = meant
    named = "; ".join(
        f"{one.item_id} ({one.lines:,}×" + (f", the catalogue has {one.meant})" if one.meant else ")")
        for one in most
    )
    more = len(unlisted) - len(most)
    rest = f"; and {more:,} more ids" if more else ""
    details["unlisted"] = most
    yield Finding("warn", "catalogue", f"{told} ({missing / total:.0%}): {named}{rest}", _MEND, details)


async def _newest_lines(patient: Patient) -> tuple[Counter[str], int]:
    """Item lines by id, of events that profiles keep, and how many of those events were read."""
    types = EventTypes(patient.settings.event_types)
    bounds = await patient.log.bounds(Topic.EVENTS)
    each = min(_EVENTS_A_PARTITION, max(1, _EVENTS_MAX // max(1, len(bounds))))
    lines: Counter[str] = Counter()
    events = 0
    for partition, held in bounds.items():
        first = max(held.first, held.end - each)
        async for records in records_below(patient.log, Topic.EVENTS, partition, first, held.end):
            for item_ids in (_items_of(record, types) for record in records):
                lines.update(item_ids)
                events += bool(item_ids)
    return lines, events


def _items_of(record: Record, types: EventTypes) -> list[str]:
    kind = dict(record.headers).get("ce_type", b"").decode("utf-8", "replace")
    try:
        found = decode_log_value(kind, record.value)
        if not isinstance(found, Event) or types.number(found.event_type) in UNRECORDED:
            return []
    except (PoisonError, UnknownEventTypeError):
        return []
    return [line.item_id for line in item_lines(found)]


async def _listed_ids(reader: CatalogueReader, epoch: int) -> list[str]:
    known: list[str] = []
    async for some in reader.scan_ids(epoch):
        known += some
        if len(known) >= _IDS_MAX:
            break
    return known


def likely_ids(unlisted: Iterable[str], known: Iterable[str]) -> list[str | None]:
    """What each unlisted id was likely meant to be: a known one that differs in case, punctuation, leading
    zeros or a prefix (`gid://shop/Product/7` and `7`), or by a letter or two; None where none or several do.

    Ids that differ in a digit are different items, not a slip.
    """
    wanted = list(unlisted)
    by_form: dict[str, set[str]] = defaultdict(set)
    by_digits: dict[str, list[str]] = {_digits(item_id): [] for item_id in wanted}
    forms = {form for item_id in wanted for form in _forms(item_id)}
    for item_id in known:
        for form in _forms(item_id):
            if form in forms:
                by_form[form].add(item_id)
        alike = by_digits.get(_digits(item_id))
        if alike is not None and len(alike) < _COMPARED_MAX:
            alike.append(item_id)
    return [_meant(item_id, by_form, by_digits[_digits(item_id)]) for item_id in wanted]


def _meant(item_id: str, by_form: dict[str, set[str]], alike: list[str]) -> str | None:
    for form in _forms(item_id):
        found = by_form.get(form, set())
        if len(found) == 1:
            return next(iter(found))
    if not _bare(item_id) or _bare(item_id).isdigit():
        return None
    close = difflib.get_close_matches(item_id.casefold(), [one.casefold() for one in alike], 2, _CLOSE)
    if len(close) != 1:
        return None
    return next(one for one in alike if one.casefold() == close[0])


def _forms(item_id: str) -> tuple[str, ...]:
    """What an id is known by, the most telling form first: its letters and digits; what follows the last
    separator of a path; its number, where letters stand before one of some length."""
    folded = item_id.casefold()
    path = [_bare(part) for part in _PATH.split(folded) if part]
    number = _NUMBERED.fullmatch(path[-1]) if path else None
    forms = (_bare(folded), *path[-1:], number[1] if number else "")
    return tuple(form for form in dict.fromkeys(form.lstrip("0") for form in forms) if form)


def _bare(text: str) -> str:
    return _PUNCTUATION.sub("", text)


def _digits(item_id: str) -> str:
    return "".join(re.findall(r"\d", item_id))
