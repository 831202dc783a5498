"""What a request brought: the drafts for the log, and what was refused and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from services.kernel.event import (
    EVENT_CE_TYPE,
    USER_DELETION_CE_TYPE,
    UserDeletion,
    encode_event,
    encode_user_deletion,
)
from services.kernel.event_input import EventError, event_id_of, parse_event
from services.kernel.event_type import EventTypes
from services.kernel.ids import IdError, read_id, uuid7
from services.kernel.item import (
    ITEM_CE_TYPE,
    ITEM_DELETION_CE_TYPE,
    ITEM_PATCH_CE_TYPE,
    KEY_ATTRIBUTE,
    ItemError,
    encode_item,
    encode_patch,
    key_attribute,
    parse_item,
    parse_patch,
    patch_key,
)
from services.kernel.malformed import Malformed
from services.log.protocol import Draft

# A profile tells duplicates while fewer than 128 other events of its subject lie between: a request that is
# sent again as a whole must fit.
MAX_EVENTS_OF_SUBJECT: Final = 128

# Binary-mode CloudEvents, so that a Knative KafkaSource hands records on untouched.
_COMMON: Final = (
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/freshet/ingest"),
    ("content-type", b"application/json"),
)


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """An entry of the request that was not accepted."""

    index: int
    id: str | None
    code: str
    error: str


@dataclass(slots=True)
class Intake:
    """The entries of a request. `ids` and `indexes` go with `drafts`, one by one."""

    drafts: list[Draft] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.drafts) + len(self.refused)


def take_events(entries: Iterable[Any], received_at_ms: int, types: EventTypes) -> Intake:
    """Events as drafts, keyed by their subject; each entry stands alone."""
    intake = Intake()
    head = (*_COMMON, ("ce_type", EVENT_CE_TYPE.encode()))
    counts: dict[str, int] = {}
    for index, raw in enumerate(entries):
        try:
            if isinstance(raw, Malformed):
                raise EventError(raw.code, raw.message)
            event = parse_event(raw, received_at_ms, types)
            subject = event.subject
            count = counts[subject] = counts.get(subject, 0) + 1
            if count > MAX_EVENTS_OF_SUBJECT:
                raise EventError(
                    "too_many_of_one_user",
                    f"a request takes at most {MAX_EVENTS_OF_SUBJECT} events of one user; send more later",
                )
        except EventError as error:
            intake.refused.append(Refusal(index, event_id_of(raw), error.code, error.message))
            continue
        headers = (*head, ("ce_id", event.event_id.encode()))
        intake.drafts.append(Draft(subject.encode(), encode_event(event), headers))
        intake.ids.append(event.event_id)
        intake.indexes.append(index)
    return intake


def take_items(entries: Iterable[Any], now_ms: int) -> Intake:
    """Items as drafts, keyed by their id; each entry stands alone."""
    intake = Intake()
    for index, raw in enumerate(entries):
        try:
            if isinstance(raw, Malformed):
                raise ItemError(raw.code, raw.message)
            item = parse_item(raw)
        except ItemError as error:
            intake.refused.append(Refusal(index, _item_id_of(raw), error.code, error.message))
            continue
        intake.drafts.append(_item_draft(item.item_id.encode(), encode_item(item), ITEM_CE_TYPE, now_ms))
        intake.ids.append(item.item_id)
        intake.indexes.append(index)
    return intake


def take_item(item_id: str, raw: object, now_ms: int) -> Draft:
    """One item, to replace what is there. Raises ItemError."""
    item = parse_item(raw, item_id)
    return _item_draft(item_id.encode(), encode_item(item), ITEM_CE_TYPE, now_ms)


def take_patch(item_id: str, raw: object, now_ms: int) -> Draft:
    """A merge patch of an item, in the item's partition. Raises ItemError."""
    patch = parse_patch(raw, item_id)
    draft = _item_draft(patch_key(item_id, patch), encode_patch(patch), ITEM_PATCH_CE_TYPE, now_ms)
    return draft._replace(partition_key=item_id.encode())


def take_item_deletion(item_id: str, now_ms: int) -> Draft:
    """A tombstone."""
    return _item_draft(item_id.encode(), None, ITEM_DELETION_CE_TYPE, now_ms)


def take_user_deletion(user_id: str, now_ms: int) -> Draft:
    """The wish that a user be forgotten, in the user's partition."""
    value = encode_user_deletion(UserDeletion(user_id=user_id, received_at=now_ms))
    return _draft(user_id.encode(), value, USER_DELETION_CE_TYPE, now_ms)


def _item_draft(key: bytes, value: bytes | None, ce_type: str, now_ms: int) -> Draft:
    draft = _draft(key, value, ce_type, now_ms)
    return draft._replace(headers=(*draft.headers, (f"ce_{KEY_ATTRIBUTE}", key_attribute(key).encode())))


def _draft(key: bytes, value: bytes | None, ce_type: str, now_ms: int) -> Draft:
    headers = (*_COMMON, ("ce_type", ce_type.encode()), ("ce_id", uuid7(now_ms).encode()))
    return Draft(key, value, headers)


def _item_id_of(raw: object) -> str | None:
    try:
        return read_id(raw["item_id"]) if isinstance(raw, dict) and "item_id" in raw else None
    except IdError:
        return None
