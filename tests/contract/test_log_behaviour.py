"""What every event log does, on a real Valkey and on a real Kafka: appending, placing, reading, asking."""

from __future__ import annotations

import asyncio
import itertools

from services.kernel.partitioning import partition_of
from services.kernel.position import Position
from services.log.protocol import RECORD_BYTES_MAX, Draft, LogError, RecordTooLargeError, Topic
from tests.contract.logs import (
    ACK_TIMEOUT_MS,
    PARTITIONS,
    Notes,
    appended,
    ends,
    member,
    numbered,
    opened,
    read,
)


def test_positions_follow_the_order_of_drafts_and_the_keys_place(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace, log_generation=7) as (log, producer):
            drafts = numbered(1000)
            positions = await appended(producer, drafts)
            assert {position.generation for position in positions} == {7}
            assert await log.partition_count(Topic.EVENTS) == PARTITIONS
            for draft, position in zip(drafts, positions, strict=True):
                assert position.partition == partition_of(draft.key, PARTITIONS)
            for partition in range(PARTITIONS):
                offsets = [p.offset for p in positions if p.partition == partition]
                assert offsets == sorted(set(offsets))
            async with member(log) as consumer:
                records = await read(consumer, 1000)
            assert len(records) == 1000
            by_position = {record.position: record for record in records}
            for draft, position in zip(drafts, positions, strict=True):
                assert by_position[position].key == draft.key
                assert by_position[position].value == draft.value

    asyncio.run(scene())


def test_calls_one_after_another_keep_their_order(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (_, producer):
            calls = [
                asyncio.create_task(producer.append(Topic.EVENTS, [Draft(b"one", b"%d" % n)], ACK_TIMEOUT_MS))
                for n in range(300)
            ]
            outcomes = [outcome for call in calls for outcome in await call]
            offsets = [outcome.position.offset for outcome in outcomes if outcome.position]
            assert len(offsets) == 300
            assert offsets == sorted(set(offsets))
            assert producer.in_flight_bytes == 0

    asyncio.run(scene())


def test_a_record_comes_back_as_it_went(log_url: str, namespace: str) -> None:
    drafts = [
        Draft(
            "пользователь/é🛒".encode(), b"\x00\xff binary", (("ce_id", b"1"), ("ce_id", b"2"), ("é", b""))
        ),
        Draft(b"tombstone", None),
        Draft(b"empty", b""),
        Draft(b"item\0price,title", b"{}", partition_key=b"item"),
        Draft(b"long", b"v" * 300_000),
    ]

    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer):
            positions = await appended(producer, drafts, Topic.ITEMS)
            assert positions[3].partition == partition_of(b"item", PARTITIONS)
            async with member(log, topic=Topic.ITEMS) as consumer:
                records = {record.position: record for record in await read(consumer, len(drafts))}
            for draft, position in zip(drafts, positions, strict=True):
                record = records[position]
                assert (record.key, record.value, record.headers) == (draft.key, draft.value, draft.headers)
                assert record.timestamp_ms > 1_600_000_000_000
                assert await log.read_at(Topic.ITEMS, position.partition, position.offset) == record

    asyncio.run(scene())


def test_the_size_bound_is_the_same(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (_, producer):
            drafts = [
                Draft(b"k", b"a"),
                Draft(b"k", b"v" * (RECORD_BYTES_MAX - 1)),
                Draft(b"k", b"v" * RECORD_BYTES_MAX),
                Draft(b"k", b"z"),
            ]
            outcomes = await producer.append(Topic.EVENTS, drafts, ACK_TIMEOUT_MS)
            assert [outcome.position is not None for outcome in outcomes] == [True, True, False, True]
            assert isinstance(outcomes[2].error, RecordTooLargeError)
            assert not outcomes[2].error.unknown

    asyncio.run(scene())


def test_nothing_to_append_is_nothing(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (_, producer):
            assert await producer.append(Topic.EVENTS, [], ACK_TIMEOUT_MS) == []
            await producer.ready()

    asyncio.run(scene())


def test_a_new_group_starts_at_the_earliest_and_resumes_at_its_commit(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer):
            await appended(producer, numbered(100))
            async with member(log) as consumer:
                first = await read(consumer, 100)
                assert await log.committed(Topic.EVENTS, "g") == {}
            async with member(log) as consumer:
                again = await read(consumer, 100)
                assert sorted(again) == sorted(first)
                await consumer.commit(ends(again))
                await consumer.commit({})
            marks = await log.committed(Topic.EVENTS, "g")
            assert marks == ends(first)
            await appended(producer, numbered(10, "late-{}"))
            async with member(log) as consumer:
                assert all(record.key.startswith(b"late-") for record in await read(consumer, 10))
            async with member(log, "other") as consumer:
                assert len(await read(consumer, 110)) == 110
            assert await log.committed(Topic.EVENTS, "other") == {}
            assert await log.committed(Topic.ITEMS, "g") == {}

    asyncio.run(scene())


def test_seek_and_the_assignments_own_start(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer):
            positions = await appended(producer, [Draft(b"k", b"%d" % n) for n in range(20)])
            partition = positions[0].partition
            notes = Notes({partition: positions[15].offset})
            async with member(log, assignment=notes) as consumer:
                assert [r.value for r in await read(consumer, 5)] == [b"%d" % n for n in range(15, 20)]
                consumer.seek(partition, positions[3].offset)
                assert (await read(consumer, 17))[0].position == positions[3]
                assert await consumer.fetch(10, 1) == {}
            assert notes.told == [("assigned", list(range(PARTITIONS)))]

    asyncio.run(scene())


def test_a_reader_without_a_group_reads_all_and_commits_nothing(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer):
            await appended(producer, numbered(50))
            async with member(log, None) as one, member(log, None) as other:
                assert len(await read(one, 50)) == len(await read(other, 50)) == 50
                try:
                    await one.commit({0: 1})
                except LogError:
                    return
                raise AssertionError("committed without a group")

    asyncio.run(scene())


def test_bounds_and_reading_one_record(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer):
            empty = await log.bounds(Topic.EVENTS)
            assert {(bound.first, bound.end) for bound in empty.values()} == {(0, 0)}
            assert set(empty) == set(range(PARTITIONS))
            positions = await appended(producer, numbered(40))
            bounds = await log.bounds(Topic.EVENTS)
            for partition, bound in bounds.items():
                assert bound.end == max(
                    (p.offset + 1 for p in positions if p.partition == partition), default=0
                )
                assert await log.read_at(Topic.EVENTS, partition, bound.end) is None
                assert await log.read_at(Topic.EVENTS, partition, -1) is None
                assert await log.read_from(Topic.EVENTS, partition, bound.end, 9) == []
            for number, position in enumerate(positions):
                record = await log.read_at(Topic.EVENTS, position.partition, position.offset)
                assert record is not None
                assert record.value == b"%d" % number
                following = await log.read_from(Topic.EVENTS, position.partition, position.offset, 3)
                assert following[0] == record
                offsets = [one.position.offset for one in following]
                assert offsets == list(range(position.offset, position.offset + len(offsets)))
                assert len(offsets) <= 3
            partition = positions[0].partition
            first = await log.read_at(Topic.EVENTS, partition, 0)
            assert await log.read_from(Topic.EVENTS, partition, -7, 1) == [first]

    asyncio.run(scene())


def test_fetch_wakes_when_a_record_comes_and_keeps_to_its_number(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer), member(log) as consumer:
            await appended(producer, numbered(1))
            await read(consumer, 1)
            waiting = asyncio.create_task(consumer.fetch(10, 60_000))  # the minute is never waited out
            await asyncio.sleep(0.05)
            await appended(producer, numbered(1))
            assert sum(map(len, (await waiting).values())) == 1
            await appended(producer, numbered(200))
            seen = 0
            while seen < 200:
                count = sum(map(len, (await consumer.fetch(7, 5_000)).values()))
                assert 0 < count <= 7
                seen += count

    asyncio.run(scene())


def test_a_cancelled_fetch_loses_nothing(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer), member(log) as consumer:
            got = []
            for number in itertools.count():
                await appended(producer, numbered(5))
                task = asyncio.create_task(consumer.fetch(500, 5_000))
                await asyncio.sleep(0.0005 * (number % 8))
                task.cancel()
                try:
                    for batch in (await task).values():
                        got += batch
                except asyncio.CancelledError:
                    pass
                if number == 40:
                    break
            while len(got) < 205:
                got += await read(consumer, 1)
            positions = [record.position for record in got]
            assert len(set(positions)) == len(positions) == 205
            for partition in range(PARTITIONS):
                mine = [p for p in positions if p.partition == partition]
                assert mine == sorted(mine)

    asyncio.run(scene())


def test_namespaces_generations_and_topics_are_apart(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer):
            await appended(producer, numbered(3))
            await appended(producer, [Draft(b"i", b"item")], Topic.ITEMS)
            await appended(producer, [Draft(b"d", b"dead")], Topic.DEAD)
            async with member(log, None, topic=Topic.DEAD) as dead:
                assert [record.value for record in await read(dead, 1)] == [b"dead"]
            async with member(log, None, topic=Topic.ITEMS) as items:
                assert [record.value for record in await read(items, 1)] == [b"item"]
        async with opened(log_url, namespace, log_generation=2) as (log, producer):
            assert sum(bound.end for bound in (await log.bounds(Topic.EVENTS)).values()) == 0
            assert await appended(producer, [Draft(b"k", b"v")]) == [Position(2, partition_of(b"k", 4), 0)]
        async with opened(log_url, f"{namespace}x") as (log, _):
            assert sum(bound.end for bound in (await log.bounds(Topic.EVENTS)).values()) == 0

    asyncio.run(scene())


def test_the_partition_count_is_the_topics(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace, log_partitions=2):
            pass
        async with opened(log_url, namespace, log_partitions=9) as (log, producer):
            assert await log.partition_count(Topic.EVENTS) == 2
            positions = await appended(producer, numbered(30))
            assert {position.partition for position in positions} == {0, 1}

    asyncio.run(scene())
