"""Members of a group: sharing, handing over, dying, being paused. On a real Valkey and on a real Kafka."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.log.protocol import Consumer, LogError, Producer, Record, Topic
from tests.contract.logs import (
    PARTITIONS,
    PATIENCE_S,
    Notes,
    appended,
    ends,
    member,
    numbered,
    opened,
    read,
)

ALL = list(range(PARTITIONS))
ROOT = Path(__file__).resolve().parents[2]


async def _apply(consumer: Consumer, notes: Notes, applied: list[Record], stop: asyncio.Event) -> None:
    """A profiler in small: apply, commit at once; a commit refused is applied by somebody else again."""
    while not stop.is_set():
        batches = await consumer.fetch(50, 20)
        for records in batches.values():
            assert {record.position.partition for record in records} <= notes.held
            try:
                await consumer.commit(ends(records))
            except LogError:
                continue
            applied += records


async def _feed(producer: Producer, count: int, step: int = 20) -> None:
    for _ in range(0, count, step):
        await appended(producer, numbered(step))
        await asyncio.sleep(0.01)


def test_members_come_and_go_and_no_record_is_skipped(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer), asyncio.timeout(PATIENCE_S):
            feeding = asyncio.create_task(_feed(producer, 2000))
            applied: list[Record] = []
            notes = [Notes(), Notes(), Notes()]
            stops = [asyncio.Event() for _ in notes]
            members = [log.consumer(Topic.EVENTS, "g") for _ in notes]
            tasks = []
            for consumer, note, stop in zip(members, notes, stops, strict=True):
                await consumer.start(note)
                tasks.append(asyncio.create_task(_apply(consumer, note, applied, stop)))
                await asyncio.sleep(0.5)
            for at in (0, 1):  # the oldest members leave; the last one takes over
                stops[at].set()
                await tasks[at]
                await members[at].stop()
                await asyncio.sleep(0.3)
            await feeding
            while sum((await log.committed(Topic.EVENTS, "g")).values()) < 2000:
                await asyncio.sleep(0.05)
            stops[2].set()
            await tasks[2]
            await members[2].stop()
            assert len({record.position for record in applied}) == 2000
            assert notes[2].held == set(ALL)

    asyncio.run(scene())


async def _hold(consumer: Consumer, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await consumer.fetch(500, 20)


async def _until_held(notes: Notes, partitions: list[int]) -> None:
    while notes.held != set(partitions):
        await asyncio.sleep(0.01)


def test_a_clean_leave_hands_over(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, _), asyncio.timeout(PATIENCE_S):
            first, second, stop = Notes(), Notes(), asyncio.Event()
            async with member(log, assignment=second) as other:
                async with member(log, assignment=first) as consumer:
                    await _hold_until(consumer, first)
                    holding = asyncio.create_task(_hold(other, stop))
                    for _ in range(20):  # the other one waits, or gets a share
                        await consumer.fetch(500, 20)
                await _until_held(second, ALL)
                stop.set()
                await holding

    asyncio.run(scene())


async def _hold_until(consumer: Consumer, notes: Notes) -> None:
    while not notes.held:
        await consumer.fetch(500, 20)


def test_a_killed_members_partitions_move(log_url: str, namespace: str) -> None:
    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer), asyncio.timeout(PATIENCE_S):
            await appended(producer, numbered(100))
            command = [sys.executable, "-m", "tests.contract.log_member", log_url, namespace, "g"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
                assert process.stdout is not None
                seen = 0
                while seen < 100:
                    seen += int(await asyncio.to_thread(process.stdout.readline))
                process.send_signal(signal.SIGKILL)
                process.wait()
            notes = Notes()
            async with member(log, assignment=notes) as consumer:
                records = await read(consumer, 100)
            assert len({record.position for record in records}) == 100
            assert notes.told == [("assigned", ALL)]

    asyncio.run(scene())


def test_a_member_paused_for_too_long_is_replaced_and_cannot_commit(log_url: str, namespace: str) -> None:
    """The zombie: stopped by the kernel, its place taken, woken again with a batch in its hands."""

    async def scene() -> None:
        async with opened(log_url, namespace) as (log, producer), asyncio.timeout(PATIENCE_S):
            await appended(producer, numbered(100))
            zombie_notes, notes = Notes(), Notes()
            async with member(log, assignment=zombie_notes) as zombie:
                batch = await read(zombie, 100)
                _freeze(zombie)
                async with member(log, assignment=notes) as consumer:
                    again: list[Record] = []
                    while notes.held != set(ALL) or len({r.position for r in again}) < 100:
                        again += [r for b in (await consumer.fetch(500, 100)).values() for r in b]
                    await consumer.commit(ends(again))
                    with pytest.raises(LogError):
                        await zombie.commit(dict.fromkeys(ends(batch), 0))
                assert await log.committed(Topic.EVENTS, "g") == ends(again)
                await appended(producer, numbered(10))
                while zombie_notes.told.count(("assigned", ALL)) < 2:
                    await zombie.fetch(1, 100)
                assert ("revoked", ALL) in zombie_notes.told

    asyncio.run(scene())


def _freeze(consumer: Consumer) -> None:
    """Stop what keeps the membership alive, as SIGSTOP would, in a process that must go on."""
    keeper = getattr(consumer, "_keeper", None)
    if keeper is None:
        keeper = consumer._client._coordinator._heartbeat_task  # type: ignore[attr-defined]
    keeper.cancel()
