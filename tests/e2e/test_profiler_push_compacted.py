"""The catalogue by push from a topic that Kafka has compacted: gaps of any size, nothing skipped."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.ingest.intake import take_item, take_item_deletion, take_patch
from services.log.protocol import Draft, Record, Topic
from tests.e2e.kafka_source import posted
from tests.e2e.profiler_world import NOW_MS, World, difference, make_release, until
from tests.e2e.pushing import pulled, pushed_to, records_of, wait_ready
from tests.servers import KafkaBroker

EAGER = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "segment.ms": "200",
    "delete.retention.ms": "604800000",
}


@pytest.fixture(scope="module")
def release_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_release(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def world(kafka: KafkaBroker, valkey: Any, namespace: str, release_url: str) -> World:
    return World(kafka.url, valkey.url, namespace, release_url, log_partitions=1)


def churn() -> list[Draft]:
    """400 records of which compaction leaves few: one item is changed again and again among others."""
    made: list[Draft] = []
    for number in range(400):
        name = "often" if number % 20 else f"once-{number}"
        if number % 7 == 3:
            made.append(take_patch(name, {"price": number}, NOW_MS))
        elif number % 50 == 40:
            made.append(take_item_deletion(f"once-{number - 40}", NOW_MS))
        else:
            made.append(take_item(name, {"title": f"thing {number}"}, NOW_MS))
    return made


async def compact(world: World, kafka: KafkaBroker, namespace: str) -> list[Record]:
    """Publish, wait until the cleaner has been there, and answer what is left of the one partition."""
    topic = f"{namespace}.items.g1"
    await world.publish(churn(), Topic.ITEMS)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        await admin.start()
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=EAGER)])
    finally:
        await admin.close()
    left: list[Record] = []

    async def cleaned() -> bool:
        # The segment in use is never cleaned: a record that comes later than segment.ms begins another.
        await world.publish([take_item("last", {"title": "the last"}, NOW_MS)], Topic.ITEMS)
        await asyncio.sleep(0.25)
        nonlocal left
        async with world.log() as log:
            end = (await log.bounds(Topic.ITEMS))[0].end
            left = []
            while not left or left[-1].position.offset < end - 1:
                at = left[-1].position.offset + 1 if left else 0
                left += await log.read_from(Topic.ITEMS, 0, at, 500)
        return end > 400 and len(left) < 150

    await until(cleaned)
    return left


def test_gaps_that_compaction_made_are_passed_over_and_no_record_is(
    world: World, kafka: KafkaBroker, namespace: str
) -> None:
    left = asyncio.run(compact(world, kafka, namespace))
    gaps = [after.position.offset - one.position.offset for one, after in pairwise(left)]
    assert max(gaps) > 16
    with pushed_to(world) as http:
        half = next(at for at, gap in enumerate(gaps, 1) if at >= 5 and gap > 1)  # a gap lies before it
        for record in left[:half]:
            answer = http.post("/items", **posted(record))
            while answer.status_code == 503 and answer.json()["code"] == "unavailable":
                answer = http.post("/items", **posted(record))
            assert answer.status_code == 204, answer.text
        # One that compaction has taken since the sender read it, which is no reason to stop.
        gone = left[half]._replace(headers=())
        gone = gone._replace(position=gone.position._replace(offset=left[half - 1].position.offset + 1))
        assert http.post("/items", **posted(gone)).status_code == 204
    with pushed_to(world) as http:
        # Two existing ones before it were given up by the sender: they go first.
        for record in left[half + 2 :]:
            assert http.post("/items", **posted(record)).status_code == 204
        wait_ready(http)
    mine = asyncio.run(world.dump())
    assert difference(asyncio.run(pulled(world)), mine) == []


def test_no_member_of_a_group_reads_the_items(world: World, kafka: KafkaBroker, namespace: str) -> None:
    """The KafkaSource does; a profiler that joined too would take partitions from it."""

    async def members() -> list[Any]:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        try:
            await admin.start()
            answers = await admin.describe_consumer_groups(
                [f"{namespace}.catalogue", f"{namespace}.profiler"]
            )
            return [group[5] for answer in answers for group in answer.groups]
        finally:
            await admin.close()

    asyncio.run(world.publish([take_item("a", {"title": "a"}, NOW_MS)], Topic.ITEMS))
    (records,) = asyncio.run(records_of(world, Topic.ITEMS, 1)).values()
    with pushed_to(world) as http:

        async def taken() -> bool:
            return http.post("/items", **posted(records[0])).status_code == 204

        asyncio.run(until(taken))
        wait_ready(http)
        assert not any(asyncio.run(members()))
