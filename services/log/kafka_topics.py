"""Making sure that the topics exist, with retention and compaction said explicitly."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from services.kernel.settings import LogSettings
from services.log.kafka_address import topic_name
from services.log.kafka_security import KafkaAccess
from services.log.protocol import LogUnavailableError, Topic

# Creating a topic and electing its leaders takes a broker a second or two.
_READY_TIMEOUT_S = 20.0
_POLL_S = 0.05
# Five clients connect while a profiler starts. A topic deleted meanwhile is missed by the next one.
_RECENT_S = 1.0
_HOUR_MS = 3_600_000
# What brokers take by default; said, so that a smaller default of the cluster does not refuse our records.
_MESSAGE_BYTES_MAX = 1_048_588


class Topics:
    """The topics of a log, made sure of once for all of its clients that connect at about the same time."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._asking: asyncio.Task[dict[Topic, int]] | None = None
        self._answered_s = 0.0  # on the monotonic clock

    async def counts(self) -> dict[Topic, int]:
        """See ensure_topics."""
        asking = self._asking
        if asking is None or (asking.done() and time.monotonic() - self._answered_s > _RECENT_S):
            asking = self._asking = asyncio.create_task(ensure_topics(self._access))
            asking.add_done_callback(self._answered)
        return await asyncio.shield(asking)

    def _answered(self, asking: asyncio.Task[dict[Topic, int]]) -> None:
        self._answered_s = time.monotonic()
        if asking.cancelled() or asking.exception() is not None:
            self._asking = None  # the next one asks anew

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)


async def ensure_topics(access: KafkaAccess) -> dict[Topic, int]:
    """Create what is missing; the partition count of each topic. Raises LogUnavailableError.

    1. Ask for all three; who finds them needs no right to create any.
    2. Create the missing ones; another process that did so first is fine.
    3. Wait until each partition has a leader, or the first append would have to.
    """
    names = {topic: topic_name(access.settings, topic) for topic in Topic}
    async with access.errors():
        async with asyncio.timeout(_READY_TIMEOUT_S):
            admin = AIOKafkaAdminClient(**access.arguments)
            try:
                await admin.start()
                found = await _describe(admin, names)
                missing = [topic for topic, count in found.items() if count == 0]
                if missing:
                    await _create(admin, access, missing)
                while not all(found.values()):
                    await asyncio.sleep(_POLL_S)
                    found = await _describe(admin, names)
                return found
            finally:
                await admin.close()


async def _describe(admin: Any, names: dict[Topic, str]) -> dict[Topic, int]:
    """Partitions of each topic; 0 while it does not exist or a partition has no leader."""
    described = {entry["topic"]: entry for entry in await admin.describe_topics(list(names.values()))}
    counts = {}
    for topic, name in names.items():
        entry = described[name]
        error = for_code(entry["error_code"])
        led = [partition for partition in entry["partitions"] if partition["leader"] >= 0]
        whole = error is NoError and len(led) == len(entry["partitions"])
        counts[topic] = len(led) if whole else 0
        if error not in (NoError, UnknownTopicOrPartitionError) and not getattr(error, "retriable", False):
            raise error(name)
    return counts


async def _create(admin: Any, access: KafkaAccess, missing: list[Topic]) -> None:
    settings = access.settings
    topics = [
        NewTopic(
            topic_name(settings, topic),
            settings.log_partitions,
            settings.log_replication,
            topic_configs=topic_configuration(settings, topic),
        )
        for topic in missing
    ]
    answer = await admin.create_topics(topics)
    for name, code, *rest in answer.topic_errors:
        error = for_code(code)
        if error in (NoError, TopicAlreadyExistsError):
            continue
        if error in (ClusterAuthorizationFailedError, TopicAuthorizationFailedError):
            raise TopicAuthorizationFailedError(f"topic {name} is not there and may not be created")
        detail = next((text for text in rest if text), error.__name__)
        raise LogUnavailableError(
            f"topic {name} is not there and could not be created ({detail}): create it with "
            f"{settings.log_partitions} partitions, or mend the reason"
        )


def topic_configuration(settings: LogSettings, topic: Topic) -> dict[str, str]:
    """Kafka's configuration of a topic that Freshet creates."""
    retention_ms = settings.log_retention_h * _HOUR_MS
    configuration = {
        "max.message.bytes": str(_MESSAGE_BYTES_MAX),
        # A record's time is when the log took it, whatever the producer's clock said.
        "message.timestamp.type": "LogAppendTime",
        # With three replicas one may be down and an acknowledged record still stands on two.
        "min.insync.replicas": "2" if settings.log_replication >= 3 else "1",
    }
    if topic is Topic.ITEMS:
        configuration["cleanup.policy"] = "compact"
        # A reader that was away for less than the retention still sees each deletion.
        configuration["delete.retention.ms"] = str(retention_ms)
    else:
        configuration["cleanup.policy"] = "delete"
        configuration["retention.ms"] = str(retention_ms)
    return configuration
