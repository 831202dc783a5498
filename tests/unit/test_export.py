"""The export: whatever kills it, the archive is the log, each event once, without those who were deleted."""

from __future__ import annotations

import asyncio
import random
import uuid
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.event import UserDeletion
from services.trainer.archive import Archive
from services.trainer.archive_place import ArchiveError, ArchivePlace, open_archive_place
from services.trainer.archive_rows import SCHEMA
from services.trainer.export import Exported, export_events
from tests.unit.archive_log import (
    DyingPlace,
    KilledError,
    MemoryLog,
    any_event,
    archived,
    event,
    expected_of,
)


def run(place: ArchivePlace, log: MemoryLog, **flags: Any) -> Exported:
    return asyncio.run(export_events(place, log, **{"part_rows": 20, **flags}))


def grow(log: MemoryLog, chance: random.Random, count: int, first_number: int) -> None:
    """Events of six subjects, each in one partition, and now and then a deletion or poison."""
    for number in range(first_number, first_number + count):
        who = chance.randrange(6)
        drawn = chance.random()
        what: Any = any_event(number, f"u{who}", chance)
        if drawn < 0.04:
            what = UserDeletion(user_id=f"u{who}", received_at=1)
        elif drawn < 0.06:
            what = b"poison"
        log.add(who % len(log.rows), what, skip=chance.choice((0, 0, 0, 2)))


def memory_place() -> ArchivePlace:
    return open_archive_place(f"memory://{uuid.uuid4().hex}")


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), deaths=st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=6))
def test_killed_after_any_write_and_run_again(seed: int, deaths: list[tuple[int, bool]]) -> None:
    """The log grows between runs, its generation changes, runs die: nothing doubles, nothing lacks."""
    chance = random.Random(seed)
    place = memory_place()
    logs = [MemoryLog()]
    number = 0
    for changes, done in deaths:
        grow(logs[-1], chance, 60, number)
        number += 60
        try:
            run(DyingPlace(place, changes, done=done), logs[-1])
        except KilledError:
            continue
        if chance.random() < 0.3:
            logs.append(MemoryLog(3, logs[-1].generation + 1))
    grow(logs[-1], chance, 60, number)
    run(place, logs[-1])
    assert archived(place) == expected_of(logs)
    listed = {part.file for part in Archive(place).manifest.parts}
    assert set(place.names()) == listed | {"archive.json"}, "what killed runs left is gone"
    assert Archive(place).manifest.deletions == []


def test_a_run_with_nothing_new_writes_nothing(tmp_path: Path) -> None:
    place, log = open_archive_place(str(tmp_path / "a")), MemoryLog()
    first = run(place, log)
    assert (first.events, first.positions) == (0, ())
    for number in range(50):
        log.add(0, event(number))
    done = run(place, log)
    assert (done.events, done.parts, done.positions) == (50, 3, ("1-0-49",))
    before = place.read("archive.json")
    assert run(place, log).events == 0
    assert place.read("archive.json") == before


def test_parts_are_plain_parquet_with_the_names_of_the_api(tmp_path: Path) -> None:
    log = MemoryLog()
    log.add(1, event(3, price=2.5, properties={"colour": "blue"}))
    run(open_archive_place(f"file://{tmp_path}"), log)
    (part,) = tmp_path.glob("*.parquet")
    assert part.name.startswith("events-g1-p1-0000000000000000000-0000000000000000000-")
    table = pq.read_table(part)
    assert table.schema == SCHEMA
    row = table.to_pylist()[0]
    assert row["subject"] == "u"
    assert row["timestamp"].isoformat() == "2023-11-14T22:13:23+00:00"
    assert row["properties"] == '{"colour":"blue"}'
    assert (row["generation"], row["partition"], row["offset"]) == (1, 1, 0)


def test_a_deletion_reaches_parts_of_earlier_exports_and_leaves_what_comes_after() -> None:
    place, log = memory_place(), MemoryLog()
    for number in range(60):
        log.add(0, event(number, f"u{number % 3}"))
    assert run(place, log).events == 60
    log.add(0, event(60, "u1"))
    log.add(0, UserDeletion(user_id="u1", received_at=1))
    log.add(0, event(61, "u1"))
    done = run(place, log)
    assert (done.events, done.deletions, done.events_deleted, done.archive_events) == (1, 1, 21, 41)
    assert [found.event_id for found in archived(place).values() if found.subject == "u1"] == ["e61"]


def test_many_deletions_are_applied_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.trainer.export._PENDING_MAX", 3)
    place, log = memory_place(), MemoryLog()
    for number in range(200):
        log.add(0, event(number, f"u{number % 40}"))
        if number % 4 == 3:
            log.add(0, UserDeletion(user_id=f"u{(number * 7) % 40}", received_at=1))
    run(place, log)
    assert archived(place) == expected_of([log])


def test_a_log_trimmed_past_the_archive_is_refused_unless_told() -> None:
    place, log = memory_place(), MemoryLog(1)
    for number in range(10):
        log.add(0, event(number))
    log.trim(0, 4)
    first = run(place, log)
    assert (first.events, first.gaps[0].first, first.gaps[0].end) == (6, 0, 4)
    for number in range(10, 30):
        log.add(0, event(number))
    log.trim(0, 15)
    with pytest.raises(ArchiveError, match=r"5 records were trimmed.*--allow-gap"):
        run(place, log)
    assert run(place, log, allow_gap=True).events == 15
    assert [(gap.first, gap.end) for gap in Archive(place).manifest.gaps] == [(0, 4), (10, 15)]
    assert run(place, log).events == 0


def test_a_gap_up_to_the_end_is_noted_once() -> None:
    place, log = memory_place(), MemoryLog(1)
    log.add(0, event(0))
    run(place, log)
    log.add(0, event(1))
    log.trim(0, 2)
    run(place, log, allow_gap=True)
    assert run(place, log).gaps == ()


def test_a_log_that_was_recreated_is_refused() -> None:
    place, log = memory_place(), MemoryLog(2)
    for number in range(10):
        log.add(0, event(number))
        log.add(1, event(100 + number))
    run(place, log)
    shorter = MemoryLog(2)
    with pytest.raises(ArchiveError, match=r"ends at offset 0.*recreated"):
        run(place, shorter)
    for number in range(30):  # grown past the archive: the record before the mark is another one
        shorter.add(0, event(1000 + number))
        shorter.add(1, event(2000 + number))
    with pytest.raises(ArchiveError, match="another record at offset 9"):
        run(place, shorter)
    with pytest.raises(ArchiveError, match="no partition 1"):
        run(place, MemoryLog(1))
    assert run(place, MemoryLog(2, generation=2)).archive_events == 20
    with pytest.raises(ArchiveError, match="FRESHET_LOG_GENERATION=2"):
        run(place, log)


def test_what_is_not_this_archive_is_refused(tmp_path: Path) -> None:
    place, log = open_archive_place(str(tmp_path)), MemoryLog()
    log.add(0, event(1))
    run(place, log, namespace="shop")
    with pytest.raises(ArchiveError, match="FRESHET_NAMESPACE"):
        run(place, log, namespace="other")
    manifest = (tmp_path / "archive.json").read_bytes()
    (tmp_path / "archive.json").unlink()
    with pytest.raises(ArchiveError, match="put it back"):
        run(place, log, namespace="shop")
    (tmp_path / "archive.json").write_bytes(manifest.replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(ArchiveError, match="version 2"):
        run(place, log, namespace="shop")


def test_drafts_of_a_killed_write_are_removed_and_block_nothing(tmp_path: Path) -> None:
    log = MemoryLog()
    log.add(0, event(1))
    (tmp_path / ".archive.json-0123456789abcdef").write_bytes(b"{")
    (tmp_path / ".events-g1-p0-1-2-01234567.parquet-0123456789abcdef").write_bytes(b"P")
    (tmp_path / "mine.txt").write_bytes(b"stays")
    run(open_archive_place(str(tmp_path)), log)
    part = Archive(open_archive_place(str(tmp_path))).manifest.parts[0].file
    assert {path.name for path in tmp_path.iterdir()} == {".archive.lock", "archive.json", "mine.txt", part}


def test_two_exports_at_once_do_not_mix(tmp_path: Path) -> None:
    place = open_archive_place(str(tmp_path))
    log = MemoryLog()
    log.add(0, event(1))
    with place.held(), pytest.raises(ArchiveError, match="another export"):
        run(open_archive_place(str(tmp_path)), log)
    # Where there is no lock, the one that comes second to the manifest gives up.
    remote = memory_place()
    run(remote, log)
    slow = Archive(remote)
    log.add(0, event(2))
    run(remote, log)
    with pytest.raises(ArchiveError, match="another export has written"):
        slow.save()
    assert archived(remote) == expected_of([log])
