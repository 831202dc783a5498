"""What only the embedded log does: its bound, trimming, the lease, its addresses."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from services.kernel.settings import LogSettings, SettingsError
from services.log.open import open_log
from services.log.protocol import Draft, LogFullError, LogLostError, LogUnavailableError, Record, Topic
from tests.contract.logs import (
    ACK_TIMEOUT_MS,
    Notes,
    appended,
    ends,
    member,
    numbered,
    opened,
    positions_of,
    read,
)
from tests.servers import ValkeyServer, valkey_server

BOUND = 1000


def test_a_full_log_says_so_and_takes_on_after_a_commit(valkey: ValkeyServer, namespace: str) -> None:
    async def scene() -> None:
        async with opened(valkey.url, namespace, log_partitions=1, log_max_records=BOUND) as (log, producer):
            await appended(producer, numbered(BOUND))
            outcomes = await producer.append(Topic.EVENTS, numbered(1), ACK_TIMEOUT_MS)
            assert isinstance(outcomes[0].error, LogFullError)
            assert not outcomes[0].error.unknown
            async with member(log) as consumer, member(log, "second") as second:
                records = await read(consumer, BOUND)
                await consumer.commit({0: 300})
                # The other group has joined and applied nothing: nothing goes.
                await read(second, BOUND)
                refused = await producer.append(Topic.EVENTS, numbered(1), ACK_TIMEOUT_MS)
                assert isinstance(refused[0].error, LogFullError)
                await second.commit({0: 200})
                taken = await appended(producer, numbered(150))
                assert [position.offset for position in taken] == list(range(BOUND, BOUND + 150))
                bounds = (await log.bounds(Topic.EVENTS))[0]
                assert (bounds.first, bounds.end) == (150, BOUND + 150)
                assert await log.read_at(Topic.EVENTS, 0, 149) is None
                assert await log.read_at(Topic.EVENTS, 0, 150) == records[150]
                # 50 more fit, 51 do not, and half of a list is worse than none of it.
                refused = await producer.append(Topic.EVENTS, numbered(51), ACK_TIMEOUT_MS)
                assert all(isinstance(outcome.error, LogFullError) for outcome in refused)
                await appended(producer, numbered(50))

    asyncio.run(scene())


def test_an_emptied_log_counts_on(valkey: ValkeyServer, namespace: str) -> None:
    async def scene() -> None:
        async with opened(valkey.url, namespace, log_partitions=1, log_max_records=BOUND) as (log, producer):
            await appended(producer, numbered(BOUND))
            async with member(log) as consumer:
                await consumer.commit(ends(await read(consumer, BOUND)))
            assert (await appended(producer, numbered(BOUND)))[0].offset == BOUND
            bounds = (await log.bounds(Topic.EVENTS))[0]
            assert (bounds.first, bounds.end) == (BOUND, 2 * BOUND)
            async with member(log) as consumer:
                assert (await read(consumer, BOUND))[0].position.offset == BOUND

    asyncio.run(scene())


def test_the_dead_topic_drops_its_oldest(valkey: ValkeyServer, namespace: str) -> None:
    async def scene() -> None:
        async with opened(valkey.url, namespace, log_partitions=1, log_max_records=BOUND) as (log, producer):
            for _ in range(3):
                await appended(producer, numbered(BOUND // 2), Topic.DEAD)
            bounds = (await log.bounds(Topic.DEAD))[0]
            assert (bounds.first, bounds.end) == (BOUND // 2, BOUND * 3 // 2)

    asyncio.run(scene())


def test_a_clean_leave_leaves_no_lease(valkey: ValkeyServer, namespace: str) -> None:
    async def scene() -> None:
        async with opened(valkey.url, namespace) as (log, producer), Redis(port=valkey.port) as client:
            await appended(producer, numbered(10))
            async with member(log) as consumer:
                await read(consumer, 10)
                assert await client.keys(f"*{namespace}*lease*")
            assert not await client.keys(f"*{namespace}*lease*")

    asyncio.run(scene())


def test_a_log_that_lost_its_end_is_not_waited_for(valkey: ValkeyServer, namespace: str) -> None:
    async def scene() -> None:
        async with opened(valkey.url, namespace, log_partitions=1) as (log, producer):
            await appended(producer, numbered(10))
            async with member(log, assignment=Notes({0: 500})) as consumer:
                with pytest.raises(LogLostError, match="recreated"):
                    await consumer.fetch(10, 100)
                with pytest.raises(LogLostError):
                    await consumer.fetch(10, 100)
                consumer.seek(0, 4)
                assert len(await read(consumer, 6)) == 6

    asyncio.run(scene())


def test_a_server_that_came_back_empty_is_read_from_its_start(namespace: str) -> None:
    async def scene(server: ValkeyServer) -> None:
        async with opened(server.url, namespace) as (log, producer):
            await appended(producer, numbered(10))
            notes = Notes()
            async with member(log, assignment=notes) as consumer:
                await consumer.commit(ends(await read(consumer, 10)))
                await asyncio.to_thread(server.restart)  # no append-only file: everything is gone
                while (await producer.append(Topic.EVENTS, numbered(3), ACK_TIMEOUT_MS))[0].error:
                    await asyncio.sleep(0.05)
                records: list[Record] = []
                while len(records) < 3:
                    try:
                        records += await read(consumer, 1)
                    except LogUnavailableError:
                        await asyncio.sleep(0.05)
                assert sorted(record.value for record in records if record.value) == [b"0", b"1", b"2"]
                assert [what for what, _ in notes.told] == ["assigned", "revoked", "assigned"]

    with valkey_server() as server:
        asyncio.run(scene(server))


def test_wrong_password_and_memory_are_told(namespace: str) -> None:
    async def scene(server: ValkeyServer) -> None:
        with pytest.raises(LogUnavailableError, match="user and password in FRESHET_LOG_URL") as caught:
            async with opened(server.url.replace("//", "//:secret-wrong@"), namespace):
                pass
        assert "secret-wrong" not in str(caught.value)
        with pytest.raises(LogUnavailableError, match="FRESHET_LOG_URL"):
            async with opened(server.url, namespace):
                pass
        url = server.url.replace("//", "//:right@")
        async with (
            opened(url, namespace) as (_, producer),
            Redis(port=server.port, password="right") as client,
        ):
            await appended(producer, numbered(10))
            await client.config_set("maxmemory", "1")
            refused = await producer.append(Topic.EVENTS, numbered(3), ACK_TIMEOUT_MS)
            assert all(isinstance(outcome.error, LogFullError) for outcome in refused)
            with pytest.raises(LogUnavailableError, match="maxmemory"):
                await producer.ready()
            await client.config_set("maxmemory", "0")
            await producer.ready()
            positions_of(await producer.append(Topic.EVENTS, numbered(3), ACK_TIMEOUT_MS))

    with valkey_server(config={"requirepass": "right"}) as server:
        asyncio.run(scene(server))


def test_a_unix_socket_will_do(valkey: ValkeyServer, namespace: str) -> None:
    async def scene(url: str) -> None:
        async with opened(url, namespace) as (_, producer):
            assert await appended(producer, [Draft(b"k", b"v")])

    asyncio.run(scene(valkey.unix_url))
    asyncio.run(scene(valkey.unix_url.replace("unix:", "valkey+unix:")))


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("amqp://x:1", "starts with 'amqp'"),
        ("localhost:6379", "starts with"),
        ("valkey://", "use valkey://"),
        ("valkey://host:notaport/0", "FRESHET_LOG_URL"),
        ("valkey://host:6379/events", "use valkey://"),
        ("valkey://[::1:6379", "brackets"),
        ("valkey://:pass/word@host:6379", "FRESHET_LOG_URL"),
        ("valkey://:pass[word@host:6379", "FRESHET_LOG_URL"),
        ("kafka://host", "no host:port"),
        ("kafka://a:9092,b", "'b' is no host:port"),
        ("kafka://user:pass@host:9092", "SASL"),
        ("kafka://host:9092/topic", "nothing may follow"),
    ],
)
def test_a_bad_url_is_an_error_at_start(url: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=hint) as caught:
        open_log(LogSettings(log_url=url))
    assert not any(secret in str(caught.value) for secret in ("pass@", "'pass", "pass["))
