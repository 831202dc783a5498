"""From a request's entries to drafts for the log."""

from __future__ import annotations

from services.ingest.intake import (
    MAX_EVENTS_OF_SUBJECT,
    take_events,
    take_item,
    take_item_deletion,
    take_items,
    take_patch,
    take_user_deletion,
)
from services.kernel.event import UserDeletion, decode_event, decode_log_value
from services.kernel.event_type import EventTypes
from services.kernel.item import decode_item, item_id_of_key
from services.kernel.malformed import Malformed

NOW_MS = 1_790_000_000_000
TYPES = EventTypes()
EVENT = {"event_id": "e", "user_id": "é", "event_type": "view", "item_id": "i"}


def test_an_event_becomes_a_binary_cloudevent_keyed_by_its_subject() -> None:
    intake = take_events([EVENT], NOW_MS, TYPES)
    draft = intake.drafts[0]
    assert draft.key == "é".encode()
    assert draft.value is not None
    assert decode_event(draft.value).item_id == "i"
    assert dict(draft.headers) == {
        "ce_specversion": b"1.0",
        "ce_source": b"/freshet/ingest",
        "ce_type": b"freshet.event.v1",
        "ce_id": b"e",
        "content-type": b"application/json",
    }


def test_each_entry_stands_alone() -> None:
    entries = [Malformed("not_utf8", "x"), EVENT, {**EVENT, "event_id": "f", "price": -1}, EVENT, 7]
    intake = take_events(entries, NOW_MS, TYPES)
    assert (intake.ids, intake.indexes) == (["e", "e"], [1, 3])
    assert [(refusal.index, refusal.id, refusal.code) for refusal in intake.refused] == [
        (0, None, "not_utf8"),
        (2, "f", "invalid_price"),
        (4, None, "not_an_object"),
    ]
    assert len(intake) == 5


def test_a_request_holds_so_many_events_of_one_user_and_no_more() -> None:
    entries = [{**EVENT, "event_id": str(n)} for n in range(MAX_EVENTS_OF_SUBJECT + 2)]
    intake = take_events([*entries, {**EVENT, "user_id": "other"}], NOW_MS, TYPES)
    assert len(intake.drafts) == MAX_EVENTS_OF_SUBJECT + 1
    assert [refusal.code for refusal in intake.refused] == ["too_many_of_one_user"] * 2
    assert intake.refused[0].index == MAX_EVENTS_OF_SUBJECT


def test_items_patches_and_deletions_share_the_partition_of_their_item() -> None:
    put = take_item("a/b", {"title": "x"}, NOW_MS)
    patch = take_patch("a/b", {"price": 1}, NOW_MS)
    deletion = take_item_deletion("a/b", NOW_MS)
    assert (put.key, deletion.key, deletion.value) == (b"a/b", b"a/b", None)
    assert patch.key != put.key
    assert patch.partition_key == put.key
    assert item_id_of_key(patch.key) == "a/b"
    assert put.value is not None
    assert decode_item(put.value).title == "x"
    kinds = [dict(draft.headers)["ce_type"] for draft in (put, patch, deletion)]
    assert kinds == [b"freshet.item.v1", b"freshet.item_patch.v1", b"freshet.item_deletion.v1"]


def test_items_in_bulk() -> None:
    intake = take_items([{"item_id": "a"}, {"title": "x"}, {"item_id": "b", "price": "1"}], NOW_MS)
    assert intake.ids == ["a"]
    assert [(refusal.id, refusal.code) for refusal in intake.refused] == [
        (None, "missing_item_id"),
        ("b", "invalid_price"),
    ]


def test_the_deletion_of_a_user_is_a_record_of_its_own() -> None:
    draft = take_user_deletion("u", NOW_MS)
    kind = dict(draft.headers)["ce_type"].decode()
    assert decode_log_value(kind, draft.value) == UserDeletion(user_id="u", received_at=NOW_MS)
    assert draft.key == b"u"
