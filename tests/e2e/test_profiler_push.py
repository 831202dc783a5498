"""The push endpoint: records posted as CloudEvents, as a KafkaSource does, through the same fence as pull."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from services.kernel.position import Position
from services.log.protocol import Record, Topic
from tests.e2e.kafka_source import posted, structured
from tests.e2e.profiler_world import World, difference, draft_of, make_events, make_release, until
from tests.e2e.pushing import pulled, pushed_to, records_of
from tests.servers import valkey_server


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(valkey: Any, namespace: str, release_url: str) -> World:
    return World(valkey.url, valkey.url, namespace, release_url)


def test_posted_one_by_one_with_redeliveries_is_what_pull_makes(world: World) -> None:
    asyncio.run(world.publish_events(make_events(300, 11)))
    partitions = asyncio.run(records_of(world, Topic.EVENTS, 300))
    with pushed_to(world) as http:

        def deliver(records: list[Record]) -> None:
            for number, record in enumerate(records):
                answers = [http.post("/", **posted(record)) for _ in range(1 + (number % 5 == 0))]
                assert [answer.status_code for answer in answers] == [204] * len(answers), answers[0].text

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(deliver, partitions.values()))
        assert http.get("/readyz").status_code == 200
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


def test_batches_and_structured_events_are_the_same_records(world: World) -> None:
    asyncio.run(world.publish_events(make_events(200, 12)))
    partitions = asyncio.run(records_of(world, Topic.EVENTS, 200))
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
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


def test_a_record_that_is_no_cloudevent_is_what_pull_makes_of_it(world: World) -> None:
    drafts = [draft_of(event) for event in make_events(60, 17)]
    types = [tuple(header for header in draft.headers if header[0] == "ce_type") for draft in drafts]
    bare = [
        draft._replace(headers=kept if number % 2 else ())
        for number, (draft, kept) in enumerate(zip(drafts, types, strict=True))
    ]
    asyncio.run(world.publish(bare))
    partitions = asyncio.run(records_of(world, Topic.EVENTS, 60))
    with pushed_to(world) as http:
        for records in partitions.values():
            assert {http.post("/", **posted(record)).status_code for record in records} == {204}
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


def test_concurrent_posts_share_batches_and_keep_their_order(world: World) -> None:
    asyncio.run(world.publish_events(make_events(200, 13)))
    partitions = asyncio.run(records_of(world, Topic.EVENTS, 200))
    records = [record for found in partitions.values() for record in found]
    with pushed_to(world) as http, ThreadPoolExecutor(16) as threads:

        def deliver(record: Record) -> None:
            while (answer := http.post("/", **posted(record))).status_code != 204:
                assert answer.status_code == 503, answer.text
                assert answer.headers["retry-after"]

        list(threads.map(deliver, records))
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


def test_what_no_post_brought_is_read_from_the_log_first(world: World) -> None:
    """A KafkaSource gave up on some (its dead-letter sink has them); the next post makes up for it."""
    asyncio.run(world.publish_events(make_events(120, 14)))
    partitions = asyncio.run(records_of(world, Topic.EVENTS, 120))
    with pushed_to(world, batch_records=7) as http:
        for records in partitions.values():
            for record in (*records[3:5], *records[-1:]):
                assert http.post("/", **posted(record)).status_code == 204
        assert http.get("/readyz").status_code == 200
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


def test_an_offset_that_the_log_does_not_have_moves_nothing(world: World) -> None:
    asyncio.run(world.publish_events(make_events(40, 14)))
    partitions = asyncio.run(records_of(world, Topic.EVENTS, 40))
    partition, records = max(partitions.items(), key=lambda one: len(one[1]))
    stray = records[-1]._replace(position=records[-1].position._replace(offset=99_999_999))
    with pushed_to(world) as http:
        assert http.post("/", **posted(records[0])).status_code == 204
        refused = http.post("/", **posted(stray))
        assert refused.status_code == 503
        assert refused.json()["code"] == "unknown_offset"
        assert http.get("/readyz").status_code == 200, "a stray post is no reason to stop"
        for rest in (records[1:], *(other for at, other in partitions.items() if at != partition)):
            assert [http.post("/", **posted(record)).status_code for record in rest] == [204] * len(rest)
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


@pytest.mark.parametrize("partition", [4, 2**31 - 1])
def test_a_partition_that_the_log_does_not_have_leaves_nothing_behind(world: World, partition: int) -> None:
    asyncio.run(world.publish_events(make_events(10, 18)))
    record = next(iter(asyncio.run(records_of(world, Topic.EVENTS, 10)).values()))[0]
    stray = record._replace(position=Position(1, partition, 0))
    with pushed_to(world) as http:
        before = asyncio.run(world.dump())
        refused = http.post("/", **posted(stray))
        assert (refused.status_code, refused.json()["code"]) == (503, "unknown_partition")
        assert http.get("/readyz").status_code == 200
    assert asyncio.run(world.dump()) == before


def test_two_instances_share_the_fence(world: World) -> None:
    asyncio.run(world.publish_events(make_events(200, 15)))
    partitions = asyncio.run(records_of(world, Topic.EVENTS, 200))
    with pushed_to(world) as one, pushed_to(world) as two, ThreadPoolExecutor(8) as threads:

        def deliver(job: tuple[httpx.Client, list[Record]]) -> None:
            http, records = job
            for record in records:
                while (answer := http.post("/", **posted(record))).status_code != 204:
                    assert answer.status_code == 503, answer.text

        list(threads.map(deliver, [(http, found) for found in partitions.values() for http in (one, two)]))
    assert difference(asyncio.run(pulled(world)), asyncio.run(world.dump())) == []


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
        (
            {
                "ce-type": "freshet.item.v1",
                "ce-knativekafkapartition": "0",
                "ce-knativekafkaoffset": "0",
            },
            b"{}",
            "wrong_topic",
        ),
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
        records = max(asyncio.run(records_of(world, Topic.EVENTS, 20)).values(), key=len)
        with pushed_to(world, store_timeout_ms=300) as http:
            assert http.post("/", **posted(records[0])).status_code == 204
            store.kill()
            answer = http.post("/", **posted(records[1]))
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            store.restart()
            # It is in memory only: what comes back is empty, and nobody committed anything to a log.
            for record in records:
                answer = http.post("/", **posted(record))
                assert answer.status_code in {204, 503}
