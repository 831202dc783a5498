"""Who denies personalisation leaves the archive and stays out, until they allow it, are deleted or silent."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import msgspec
import pytest

from services.kernel.event import UserDeletion
from services.trainer.archive import Archive
from services.trainer.archive_place import ArchiveError, ArchivePlace, open_archive_place
from services.trainer.export import Exported, export_events
from services.trainer.refusals import Refusals
from tests.unit.archive_log import MemoryLog, archived, event

DAY_MS = 86_400_000
NOW_MS = 1_750_000_000_000


def memory_place() -> ArchivePlace:
    return open_archive_place(f"memory://{uuid.uuid4().hex}")


def run(place: ArchivePlace, log: MemoryLog, **flags: Any) -> Exported:
    return asyncio.run(export_events(place, log, **{"part_rows": 20, **flags}))


def ids(place: ArchivePlace) -> list[str]:
    return sorted(found.event_id for found in archived(place).values())


def refused(place: ArchivePlace) -> int:
    return len(Refusals(Archive(place).manifest.refusals))


def test_who_says_no_leaves_the_archive_and_stays_out_until_they_say_yes() -> None:
    place, log = memory_place(), MemoryLog(1)
    log.add(0, event(1, "ada"))
    log.add(0, event(2, "bea"))
    assert run(place, log).archive_events == 2
    log.add(0, event(3, "ada", consent=False))
    log.add(0, event(4, "ada"))
    log.add(0, event(5, "bea", consent="granted"))
    done = run(place, log)
    assert (done.events, done.events_withheld, done.events_deleted, done.refusals) == (1, 2, 1, 1)
    assert ids(place) == ["e2", "e5"]
    log.add(0, event(6, "ada"))  # in another run: the archive remembers
    log.add(0, event(7, "ada", consent={"ad_storage": "granted"}))  # says nothing about it
    assert run(place, log).events_withheld == 2
    log.add(0, event(8, "ada", consent={"personalization": "granted"}))
    log.add(0, event(9, "ada"))
    assert run(place, log).refusals == 0
    assert ids(place) == ["e2", "e5", "e8", "e9"]
    assert refused(place) == 0


def test_a_deletion_ends_a_refusal_as_it_does_in_the_profile() -> None:
    place, log = memory_place(), MemoryLog(1)
    log.add(0, event(1, "ada", consent="denied"))
    run(place, log)
    log.add(0, UserDeletion(user_id="ada", received_at=1))
    log.add(0, event(2, "ada"))
    assert run(place, log).deletions == 1
    assert ids(place) == ["e2"]
    assert refused(place) == 0, "nothing of the deleted is kept, their hash neither"


def test_a_refusal_ends_with_the_profile_and_lives_while_its_subject_is_heard_of() -> None:
    place, log = memory_place(), MemoryLog(1)

    def add(number: int, subject: str, day: int, **fields: Any) -> None:
        at_ms = NOW_MS + day * DAY_MS
        log.add(0, msgspec.structs.replace(event(number, subject, **fields), received_at=at_ms))

    add(1, "ada", 0, consent=False)
    add(2, "bea", 0, consent=False)
    add(3, "bea", 8)
    run(place, log, refusal_days=10)
    add(4, "ada", 11)
    add(5, "bea", 18)
    run(place, log, refusal_days=10)
    assert ids(place) == ["e4"]
    add(6, "cem", 29)
    assert run(place, log, refusal_days=10).refusals == 0, "silence has ended it: nothing is kept of bea"
    assert ids(place) == ["e4", "e6"]


def test_more_refusals_than_can_be_kept_stop_the_export_and_name_the_setting() -> None:
    place, log = memory_place(), MemoryLog(1)
    for number in range(3):
        log.add(0, event(number, f"u{number}", consent=False))
    log.add(0, event(3, "u0"))
    with pytest.raises(ArchiveError, match="FRESHET_REFUSALS_MAX"):
        run(place, log, refusals_max=2)
    assert archived(place) == {}
    assert run(place, log, refusals_max=3).refusals == 3
    assert archived(place) == {}


def test_no_id_stands_in_the_manifest() -> None:
    place, log = memory_place(), MemoryLog(1)
    log.add(0, event(1, "ada-lovelace"))
    log.add(0, event(2, "ada-lovelace", consent=False))
    run(place, log)
    assert b"ada-lovelace" not in (place.read("archive.json") or b"")
    assert refused(place) == 1
