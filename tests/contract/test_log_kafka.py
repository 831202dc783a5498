"""What only the Kafka log does: names and configuration of topics, leaving a group, a recreated topic."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.log.protocol import Draft, LogLostError, Topic
from tests.contract.logs import Notes, appended, ends, member, numbered, opened, read
from tests.servers import KafkaBroker


async def _asked(kafka: KafkaBroker, question: str, *arguments: Any) -> Any:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        await admin.start()
        return await getattr(admin, question)(*arguments)
    finally:
        await admin.close()


async def _configuration(kafka: KafkaBroker, topic: str) -> dict[str, str]:
    answers = await _asked(kafka, "describe_configs", [ConfigResource(ConfigResourceType.TOPIC, topic)])
    return {entry[0]: entry[1] for answer in answers for entry in answer.resources[0][4]}


def test_topics_carry_namespace_generation_and_what_they_keep(kafka: KafkaBroker, namespace: str) -> None:
    async def scene() -> None:
        async with opened(kafka.url, namespace, log_generation=3, log_retention_h=48):
            names = await _asked(kafka, "list_topics")
            mine = {name for name in names if name.startswith(f"{namespace}.")}
            assert mine == {f"{namespace}.events.g3", f"{namespace}.items.g3", f"{namespace}.dead"}
            events = await _configuration(kafka, f"{namespace}.events.g3")
            assert events["cleanup.policy"] == "delete"
            assert events["retention.ms"] == str(48 * 3_600_000)
            assert events["message.timestamp.type"] == "LogAppendTime"
            items = await _configuration(kafka, f"{namespace}.items.g3")
            assert items["cleanup.policy"] == "compact"

    asyncio.run(scene())


def test_a_clean_leave_leaves_no_member(kafka: KafkaBroker, namespace: str) -> None:
    async def members() -> int:
        answers = await _asked(kafka, "describe_consumer_groups", [f"{namespace}.g"])
        return len(answers[0].groups[0][5])

    async def scene() -> None:
        async with opened(kafka.url, namespace) as (log, producer):
            await appended(producer, numbered(10))
            async with member(log) as consumer:
                await read(consumer, 10)
                assert await members() == 1
            assert await members() == 0

    asyncio.run(scene())


def test_a_recreated_topic_is_noticed_by_whoever_comes_back(kafka: KafkaBroker, namespace: str) -> None:
    async def scene() -> None:
        async with opened(kafka.url, namespace, log_partitions=1) as (log, producer):
            await appended(producer, numbered(100))
            async with member(log) as consumer:
                await read(consumer, 100)
        await _asked(kafka, "delete_topics", [f"{namespace}.events.g1"])
        await asyncio.sleep(0.5)
        async with opened(kafka.url, namespace, log_partitions=1) as (log, producer):
            await appended(producer, numbered(10))
            async with member(log, assignment=Notes({0: 100})) as consumer:
                with pytest.raises(LogLostError, match="recreated"):
                    await _fetch_until_assigned(consumer)
                with pytest.raises(LogLostError, match="recreated"):
                    await consumer.fetch(10, 100)
                consumer.seek(0, 0)
                records = await read(consumer, 10)
                await consumer.commit(ends(records))

    asyncio.run(scene())


async def _fetch_until_assigned(consumer: Any) -> None:
    while True:
        await consumer.fetch(10, 100)


def test_what_others_write_has_a_key_and_headers_all_the_same(kafka: KafkaBroker, namespace: str) -> None:
    """kafka-console-producer sets no key. The dead topic must take such a record, or its partition halts."""

    async def scene() -> None:
        async with opened(kafka.url, namespace, log_partitions=1) as (log, producer):
            async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as other:
                await other.send_and_wait(f"{namespace}.events.g1", b"hello", headers=[("empty", None)])
            async with member(log) as consumer:
                followed = (await read(consumer, 1))[0]
            for record in [followed, *await log.read_from(Topic.EVENTS, 0, 0, 10)]:
                assert (record.key, record.value, record.headers) == (b"", b"hello", (("empty", b""),))
            await appended(producer, [Draft(followed.key, followed.value, followed.headers)], Topic.DEAD)

    asyncio.run(scene())
