"""The export reads a real Valkey and a real Kafka: resumed, with deletions, and on a log that is trimmed."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import msgspec
import pytest

from services.kernel.event import (
    EVENT_CE_TYPE,
    USER_DELETION_CE_TYPE,
    Event,
    UserDeletion,
    encode_event,
    encode_user_deletion,
)
from services.kernel.event_type import EventTypes
from services.kernel.position import Position
from services.log.protocol import Draft, EventLog, Producer
from services.trainer.archive_place import ArchiveError, open_archive_place
from services.trainer.events import read_events
from services.trainer.export import Exported, export_events
from tests.contract.logs import PATIENCE_S, appended, ends, member, opened, read
from tests.servers import ValkeyServer
from tests.unit.archive_log import any_event, archived


def draft_of(what: Event | UserDeletion) -> Draft:
    if isinstance(what, Event):
        value, kind = encode_event(what), EVENT_CE_TYPE
    else:
        value, kind = encode_user_deletion(what), USER_DELETION_CE_TYPE
    return Draft(what.subject.encode(), value, (("ce_type", kind.encode()),))


def some_events(count: int, first: int) -> list[Event]:
    """Of people who agree: what becomes of the others is told in tests/e2e/test_consent.py."""
    chance = random.Random(first)
    made = [any_event(first + number, f"u{chance.randrange(40)}", chance) for number in range(count)]
    return [msgspec.structs.replace(one, consent=None) if one.consent is False else one for one in made]


async def put(producer: Producer, events: list[Event]) -> dict[Position, Event]:
    return dict(zip(await appended(producer, list(map(draft_of, events))), events, strict=True))


async def export(log: EventLog, url: Path, allow_gap: bool = False) -> Exported:
    async with asyncio.timeout(PATIENCE_S):
        return await export_events(open_archive_place(str(url)), log, part_rows=400, allow_gap=allow_gap)


def test_the_archive_is_the_log_run_after_run(log_url: str, namespace: str, tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer):
            assert (await export(log, tmp_path)).events == 0
            held = await put(producer, some_events(3000, 0))
            assert (await export(log, tmp_path)).events == 3000
            assert archived(open_archive_place(str(tmp_path))) == held
            deletions = [UserDeletion(user_id=f"u{number}", received_at=1) for number in range(3)]
            await appended(producer, list(map(draft_of, deletions)))
            gone = {place for place, event in held.items() if event.subject in {"u0", "u1", "u2"}}
            held = {place: event for place, event in held.items() if place not in gone}
            held |= await put(producer, some_events(500, 3000))
            done = await export(log, tmp_path)
            assert (done.events, done.deletions, done.events_deleted) == (500, 3, len(gone))
            assert archived(open_archive_place(str(tmp_path))) == held
            assert (await export(log, tmp_path)).parts == 0
        async with opened(log_url, namespace, log_generation=2) as (log, producer):
            await appended(producer, [draft_of(UserDeletion(user_id="u3", received_at=1))])
            held = {place: event for place, event in held.items() if event.subject != "u3"}
            held |= await put(producer, some_events(100, 4000))
            await export(log, tmp_path)
            assert archived(open_archive_place(str(tmp_path))) == held

    asyncio.run(scene())
    table = read_events(str(tmp_path), event_types=EventTypes("wishlist_of_ours:200=1"))
    assert table.reading.rows == archived_rows(tmp_path)
    assert table.reading.no_events == 0


def archived_rows(path: Path) -> int:
    return len(archived(open_archive_place(str(path))))


def test_an_export_beside_writers_ends_where_the_log_was(
    log_url: str, namespace: str, tmp_path: Path
) -> None:
    """It is a job that exits, however fast the log grows; the next one brings the rest."""

    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer):
            held = await put(producer, some_events(1000, 0))
            writing = asyncio.create_task(put_slowly(producer))
            await export(log, tmp_path)
            held |= await writing
            await export(log, tmp_path)
            assert archived(open_archive_place(str(tmp_path))) == held

    async def put_slowly(producer: Producer) -> dict[Position, Event]:
        found: dict[Position, Event] = {}
        for first in range(1000, 2000, 50):
            found |= await put(producer, some_events(50, first))
        return found

    asyncio.run(scene())


def test_a_log_that_was_trimmed_or_recreated(valkey: ValkeyServer, namespace: str, tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(valkey.url, namespace, log_max_records=1000, log_partitions=1) as (log, producer):
            await put(producer, some_events(500, 0))
            await export(log, tmp_path)
            async with member(log) as profiler:  # what it has applied may be trimmed
                for first in (500, 1000, 1500):
                    await profiler.commit(ends(await read(profiler, 500)))
                    await put(producer, some_events(500, first))
            with pytest.raises(ArchiveError, match="--allow-gap"):
                await export(log, tmp_path)
            done = await export(log, tmp_path, allow_gap=True)
            assert done.gaps[0].first == 500
            assert done.archive_events == 500 + 2000 - done.gaps[0].end
        async with opened(valkey.url, f"{namespace}x", log_partitions=1) as (log, _):
            with pytest.raises(ArchiveError, match="recreated"):
                await export(log, tmp_path)

    asyncio.run(scene())
