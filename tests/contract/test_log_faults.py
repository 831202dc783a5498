"""The log's server killed, paused, gone: nothing hangs, nothing acknowledged is lost, nothing leaks.

These have servers of their own; the shared ones are nobody's to kill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from services.kernel.position import Position
from services.log.protocol import Consumer, Draft, LogError, LogUnavailableError, Producer, Topic
from tests.conftest import needed_kafka
from tests.contract.logs import (
    ACK_TIMEOUT_MS,
    PATIENCE_S,
    Notes,
    appended,
    ends,
    member,
    numbered,
    opened,
    read,
    read_patiently,
)
from tests.processes import ServerProcess, free_ports
from tests.servers import KafkaBroker, ValkeyServer, valkey_server

Server = ValkeyServer | KafkaBroker


@pytest.fixture(params=["valkey", "kafka"], scope="module")
def module_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that this module may kill; it keeps its data."""
    if request.param == "kafka":
        with needed_kafka() as broker:
            yield broker
    else:
        with valkey_server(append_only=True) as server:
            yield server


@pytest.fixture
def server(module_server: Server) -> Iterator[Server]:
    """The server, running at the start and at the end of each test."""
    yield module_server
    if module_server.running:
        module_server.resume()
    else:
        module_server.start()


async def _killed_for_a_while(server: ServerProcess, down_s: float) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(down_s)
    await asyncio.to_thread(server.start)


def test_what_was_acknowledged_survives_sigkill(server: Server, namespace: str) -> None:
    """Ten callers append one by one while the server dies twice."""

    async def caller(
        producer: Producer, at: int, over: asyncio.Event, acknowledged: dict[Position, bytes]
    ) -> None:
        number = 0
        while not over.is_set():
            number += 1
            value = b"%d-%d" % (at, number)
            outcomes = await producer.append(Topic.EVENTS, [Draft(b"k%d" % at, value)], 2000)
            if outcomes[0].position is not None:
                assert outcomes[0].position not in acknowledged
                acknowledged[outcomes[0].position] = value
            else:
                assert isinstance(outcomes[0].error, LogError)
                await asyncio.sleep(0.02)

    async def scene() -> None:
        async with opened(server.url, namespace) as (log, producer), asyncio.timeout(2 * PATIENCE_S):
            over = asyncio.Event()
            acknowledged: dict[Position, bytes] = {}
            callers = [asyncio.create_task(caller(producer, at, over, acknowledged)) for at in range(10)]
            for _ in range(2):
                await asyncio.sleep(0.3)
                await _killed_for_a_while(server, 0.1)
            count = len(acknowledged)
            while len(acknowledged) < count + 50:  # it works again without being told
                await asyncio.sleep(0.05)
            over.set()
            await asyncio.gather(*callers)
            async with member(log) as consumer:
                bounds = await log.bounds(Topic.EVENTS)
                records = await read(consumer, sum(bound.end for bound in bounds.values()))
            found = {record.position: record.value for record in records}
            assert acknowledged.items() <= found.items()

    asyncio.run(scene())


@pytest.mark.parametrize("how", ["killed", "paused"])
def test_while_the_server_is_away_appends_end_and_memory_comes_back(
    server: Server, namespace: str, how: str
) -> None:
    async def scene() -> None:
        async with opened(server.url, namespace) as (_, producer), asyncio.timeout(PATIENCE_S):
            await appended(producer, numbered(10))
            if how == "killed":
                await asyncio.to_thread(server.kill)
            else:
                server.pause()
            first = asyncio.create_task(producer.append(Topic.EVENTS, numbered(100), 500))
            await asyncio.sleep(0.05)  # it is under way; what comes now has to queue
            calls = [producer.append(Topic.EVENTS, numbered(100), 500) for _ in range(20)]
            outcomes = [outcome for call in await asyncio.gather(*calls) for outcome in call]
            assert len(outcomes) == 2000
            assert all(isinstance(outcome.error, LogUnavailableError) for outcome in outcomes)
            assert all(
                "FRESHET_LOG_URL" in str(o.error) or "did not answer" in str(o.error) for o in outcomes
            )
            # What was never sent is refused for sure, and not kept.
            assert not any(outcome.error and outcome.error.unknown for outcome in outcomes)
            assert all(outcome.error for outcome in await first)
            if how == "killed":
                await asyncio.to_thread(server.start)
            else:
                server.resume()
            while producer.in_flight_bytes:
                await asyncio.sleep(0.02)
            while (await producer.append(Topic.EVENTS, numbered(1), ACK_TIMEOUT_MS))[0].position is None:
                await asyncio.sleep(0.05)
            assert producer.in_flight_bytes == 0

    asyncio.run(scene())


def test_a_producer_stops_while_the_server_is_away(server: Server, namespace: str) -> None:
    async def scene() -> None:
        async with opened(server.url, namespace) as (_, producer), asyncio.timeout(PATIENCE_S):
            await asyncio.to_thread(server.kill)
            outcomes = await producer.append(Topic.EVENTS, numbered(100), 300)
            assert all(outcome.error is not None for outcome in outcomes)
            with pytest.raises(LogUnavailableError):
                await _until_not_ready(producer)
            await producer.stop()
            assert producer.in_flight_bytes == 0
            assert all(o.error is not None for o in await producer.append(Topic.EVENTS, numbered(1), 300))

    asyncio.run(scene())


async def _until_not_ready(producer: Producer) -> None:
    while True:  # Kafka's producer trusts an answer for a second
        await producer.ready()
        await asyncio.sleep(0.1)


async def _until_not_fetching(consumer: Consumer) -> None:
    while True:  # a log in silence is asked after a second whether it is there
        await consumer.fetch(500, 100)


def test_a_consumer_says_so_and_goes_on(server: Server, namespace: str) -> None:
    async def scene() -> None:
        async with opened(server.url, namespace) as (log, producer), asyncio.timeout(PATIENCE_S):
            await appended(producer, numbered(50))
            notes = Notes()
            async with member(log, assignment=notes) as consumer:
                first = await read(consumer, 50)
                await consumer.commit(ends(first))
                await asyncio.to_thread(server.kill)
                with pytest.raises(LogUnavailableError, match="FRESHET_LOG_URL"):
                    await _until_not_fetching(consumer)
                await asyncio.to_thread(server.start)
                while (await producer.append(Topic.EVENTS, [Draft(b"k", b"after")], 2000))[0].error:
                    await asyncio.sleep(0.1)
                values: set[bytes | None] = set()
                while b"after" not in values:
                    values |= {record.value for record in await read_patiently(consumer, 1)}
                assert notes.held

    asyncio.run(scene())


def test_a_consumer_stops_while_the_server_is_away(server: Server, namespace: str) -> None:
    async def scene() -> None:
        async with opened(server.url, namespace) as (log, producer), asyncio.timeout(PATIENCE_S):
            await appended(producer, numbered(5))
            async with member(log) as consumer:
                await read(consumer, 5)
                await asyncio.to_thread(server.kill)
            # Nothing of it goes on behind our back, but for what belongs to the producer.
            await producer.stop()
            await log.close()
            await asyncio.sleep(0.2)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not others

    asyncio.run(scene())


@pytest.mark.parametrize("scheme", ["valkey", "kafka"])
def test_an_unreachable_server_is_named(scheme: str, namespace: str) -> None:
    url = f"{scheme}://127.0.0.1:{free_ports(1)[0]}"

    async def scene() -> None:
        with pytest.raises(LogUnavailableError, match=f"{url.split('//')[1]}.*FRESHET_LOG_URL"):
            async with opened(url, namespace):
                pass

    asyncio.run(scene())
