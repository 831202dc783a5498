"""The push endpoint: records posted as CloudEvents, as a KafkaSource does, through the same fence as pull."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from services.log.protocol import Record, Topic
from services.profiler.app import create_profiler_app
from tests.e2e.profiler_world import PATIENCE_S, World, difference, make_events, make_release, until
from tests.servers import valkey_server
from tests.serving import serving


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(valkey: Any, namespace: str, release_url: str) -> World:
    return World(valkey.url, valkey.url, namespace, release_url)


@contextmanager
def pushed_to(world: World, database: int = 1, **changed: Any) -> Iterator[httpx.Client]:
    """A profiler in push mode over HTTP."""
    settings = world.settings(database, profiler_mode="push", **changed)
    with (
        serving(create_profiler_app(settings)) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_S) as http,
    ):
        yield http


async def records_of(world: World, count: int) -> dict[int, list[Record]]:
    """Everything on the events log, by partition."""
    found: dict[int, list[Record]] = {}
    async with world.log() as log:
        reader = log.consumer(Topic.EVENTS, None)
        await reader.start()

        async def read() -> bool:
            for partition, records in (await reader.fetch(1000, 100)).items():
                found.setdefault(partition, []).extend(records)
            return sum(map(len, found.values())) >= count

        await until(read)
        await reader.stop()
    return found


def binary(record: Record) -> dict[str, Any]:
    """A request as a KafkaSource makes it."""
    headers = {name.replace("ce_", "ce-"): value.decode() for name, value in record.headers}
    return {
        "content": record.value or b"",
        "headers": {
            **headers,
            "ce-specversion": "1.0",
            "ce-knativekafkapartition": str(record.position.partition),
            "ce-knativekafkaoffset": str(record.position.offset),
            "content-type": "application/json",
        },
    }


def structured(record: Record) -> dict[str, Any]:
    headers = dict(record.headers)
    return {
        "specversion": "1.0",
        "id": "x",
        "source": "kafka",
        "type": headers["ce_type"].decode(),
        "knativekafkapartition": str(record.position.partition),
        "knativekafkaoffset": str(record.position.offset),
        "data": json.loads(record.value or b"null"),
    }


async def expected(world: World) -> dict[str, Any]:
    groups = {Topic.EVENTS: "undisturbed", Topic.ITEMS: "undisturbed-items"}
    async with world.profiler(9, groups=groups):
        await world.caught_up(9)
    return await world.dump(9)


def test_posted_one_by_one_with_redeliveries_is_what_pull_makes(world: World) -> None:
    asyncio.run(world.publish_events(make_events(300, 11)))
    partitions = asyncio.run(records_of(world, 300))
    with pushed_to(world) as http:

        def deliver(records: list[Record]) -> None:
            for number, record in enumerate(records):
                answers = [http.post("/", **binary(record)) for _ in range(1 + (number % 5 == 0))]
                assert [answer.status_code for answer in answers] == [204] * len(answers), answers[0].text

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(deliver, partitions.values()))
        assert http.get("/readyz").status_code == 200
    assert difference(asyncio.run(expected(world)), asyncio.run(world.dump())) == []


def test_batches_and_structured_events_are_the_same_records(world: World) -> None:
    asyncio.run(world.publish_events(make_events(200, 12)))
    partitions = asyncio.run(records_of(world, 200))
    with pushed_to(world) as http:
        for records in partitions.values():
            first, *rest = records
            one = http.post(
                "/", json=structured(first), headers={"content-type": "application/cloudevents+json"}
            )
            assert one.status_code == 204, one.text
            many = [structured(record) for record in rest]
            if many:
                answer = http.post(
                    "/", json=many, headers={"content-type": "application/cloudevents-batch+json"}
                )
                assert answer.status_code == 204, answer.text
    assert difference(asyncio.run(expected(world)), asyncio.run(world.dump())) == []


def test_concurrent_posts_share_batches_and_keep_their_order(world: World) -> None:
    asyncio.run(world.publish_events(make_events(200, 13)))
    partitions = asyncio.run(records_of(world, 200))
    records = [record for found in partitions.values() for record in found]
    with pushed_to(world) as http, ThreadPoolExecutor(16) as threads:

        def deliver(record: Record) -> None:
            while (answer := http.post("/", **binary(record))).status_code != 204:
                assert answer.status_code == 503, answer.text
                assert answer.headers["retry-after"]

        list(threads.map(deliver, records))
    assert difference(asyncio.run(expected(world)), asyncio.run(world.dump())) == []


def test_a_record_that_came_too_early_is_not_applied(world: World) -> None:
    asyncio.run(world.publish_events(make_events(50, 14)))
    records = max(asyncio.run(records_of(world, 50)).values(), key=len)
    with pushed_to(world) as http:
        early = http.post("/", **binary(records[3]))
        assert early.status_code == 503
        assert early.json()["code"] == "out_of_order"
        assert [http.post("/", **binary(record)).status_code for record in records] == [204] * len(records)


def test_an_offset_that_the_log_does_not_have_moves_nothing(world: World) -> None:
    asyncio.run(world.publish_events(make_events(40, 14)))
    partitions = asyncio.run(records_of(world, 40))
    partition, records = max(partitions.items(), key=lambda one: len(one[1]))
    stray = records[-1]._replace(position=records[-1].position._replace(offset=99_999_999))
    with pushed_to(world) as http:
        assert http.post("/", **binary(records[0])).status_code == 204
        refused = http.post("/", **binary(stray))
        assert refused.status_code == 503
        assert refused.json()["code"] == "unknown_offset"
        assert http.get("/readyz").status_code == 200, "a stray post is no reason to stop"
        for rest in (records[1:], *(other for at, other in partitions.items() if at != partition)):
            assert [http.post("/", **binary(record)).status_code for record in rest] == [204] * len(rest)
    assert difference(asyncio.run(expected(world)), asyncio.run(world.dump())) == []


def test_two_instances_share_the_fence(world: World) -> None:
    asyncio.run(world.publish_events(make_events(200, 15)))
    partitions = asyncio.run(records_of(world, 200))
    with pushed_to(world) as one, pushed_to(world) as two, ThreadPoolExecutor(8) as threads:

        def deliver(job: tuple[httpx.Client, list[Record]]) -> None:
            http, records = job
            for record in records:
                while (answer := http.post("/", **binary(record))).status_code != 204:
                    assert answer.status_code == 503, answer.text

        list(threads.map(deliver, [(http, found) for found in partitions.values() for http in (one, two)]))
    assert difference(asyncio.run(expected(world)), asyncio.run(world.dump())) == []


def test_poison_is_2xx_and_in_the_dead_topic(world: World) -> None:
    headers = {
        "ce-type": "freshet.event.v1",
        "ce-knativekafkapartition": "0",
        "ce-knativekafkaoffset": "0",
        "content-type": "application/json",
    }
    with pushed_to(world) as http:
        assert http.post("/", content=b"{no", headers=headers).status_code == 204

        async def dead() -> bool:
            async with world.log() as log:
                return sum(held.end for held in (await log.bounds(Topic.DEAD)).values()) == 1

        asyncio.run(until(dead))


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({}, b"{}", "missing_position"),
        ({"ce-knativekafkapartition": "0", "ce-knativekafkaoffset": "-1"}, b"{}", "invalid_position"),
        ({"ce-knativekafkapartition": "0", "ce-knativekafkaoffset": "9" * 30}, b"{}", "invalid_position"),
        ({"content-type": "application/cloudevents+json"}, b"[", "invalid_cloudevent"),
        ({"content-type": "application/cloudevents+json"}, b"\xff", "invalid_cloudevent"),
        ({"content-type": "application/cloudevents-batch+json"}, b"[]", "invalid_batch"),
    ],
)
def test_what_is_no_record_is_a_problem(
    world: World, headers: dict[str, str], body: bytes, code: str
) -> None:
    with pushed_to(world) as http:
        answer = http.post("/", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_the_store_away_is_503_with_retry_after(valkey: Any, namespace: str, release_url: str) -> None:
    with valkey_server() as store:
        world = World(valkey.url, store.url, namespace, release_url)
        asyncio.run(world.publish_events(make_events(20, 16)))
        records = max(asyncio.run(records_of(world, 20)).values(), key=len)
        with pushed_to(world, store_timeout_ms=300) as http:
            assert http.post("/", **binary(records[0])).status_code == 204
            store.kill()
            answer = http.post("/", **binary(records[1]))
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            store.restart()
            # It is in memory only: what comes back is empty, and nobody committed anything to a log.
            for record in records:
                answer = http.post("/", **binary(record))
                assert answer.status_code in {204, 503}
