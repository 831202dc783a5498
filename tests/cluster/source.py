"""Posts records as a KafkaSource does (knative-extensions/eventing-kafka-broker, data plane 1.23).

Binary CloudEvents: the record's `ce_` headers as `ce-`, its place as two extension attributes, the value as
the body. Ordered: one record of a partition in flight, the next after its 2xx. What fails is posted again
after n × 0.5 s, as push/sources.yaml says. Offsets are committed behind what was accepted.

A dispatcher that is restarted goes back to its last commit, so here every `REPEAT_EVERY`-th record is
followed by the three before it once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.cluster import site
from tests.deploy.check import NAMESPACE

BROKERS: Final = "localhost:29092"  # forwarded
REPEAT_EVERY: Final = 7
_REPEATED: Final = 3
_BACKOFF_S: Final = 0.5
_TIMEOUT_S: Final = 60


@dataclass
class Posted:
    """What was posted of one topic."""

    began_s: float | None = None  # monotonic time of the first attempt
    records: int = 0
    repeated: int = 0
    refused: dict[int, int] = field(default_factory=dict)  # status (0: no answer) → how often; posted again


class Source:
    """One KafkaSource: a topic, its group, the profiler's path."""

    def __init__(self, topic: str, group: str, path: str) -> None:
        self.topic, self.group, self.path = topic, group, path
        self.posted = Posted()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Posted]:
        """Deliver until left; what is under way then is finished."""
        consumer = AIOKafkaConsumer(
            self.topic,
            bootstrap_servers=BROKERS,
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_interval_ms=600_000,
        )
        await consumer.start()
        stop = asyncio.Event()
        task = asyncio.create_task(self._deliver(consumer, stop))
        try:
            yield self.posted
        finally:
            stop.set()
            await task
            await consumer.stop()

    async def _deliver(self, consumer: Any, stop: asyncio.Event) -> None:
        async with httpx.AsyncClient(
            base_url=site.local_gateway(), timeout=_TIMEOUT_S, trust_env=False
        ) as client:
            while not stop.is_set():
                fetched = await consumer.getmany(timeout_ms=200, max_records=200)
                await asyncio.gather(*(self._partition(client, records) for records in fetched.values()))
                if fetched:
                    await consumer.commit(
                        {
                            TopicPartition(self.topic, at.partition): records[-1].offset + 1
                            for at, records in fetched.items()
                        }
                    )

    async def _partition(self, client: httpx.AsyncClient, records: Sequence[Any]) -> None:
        for index, record in enumerate(records):
            await self._post(client, record)
            self.posted.records += 1
            if index and index % REPEAT_EVERY == 0:
                for again in records[index - _REPEATED : index + 1]:
                    await self._post(client, again)
                    self.posted.repeated += 1

    async def _post(self, client: httpx.AsyncClient, record: Any) -> None:
        attempt = 0
        self.posted.began_s = self.posted.began_s or time.monotonic()
        while True:
            try:
                answer = await client.post(self.path, content=record.value or b"", headers=headers_of(record))
                status = answer.status_code
            except httpx.HTTPError:
                status = 0
            if 200 <= status < 300:
                return
            self.posted.refused[status] = self.posted.refused.get(status, 0) + 1
            attempt += 1
            await asyncio.sleep(_BACKOFF_S * attempt)


async def give_up_on_one(topic: str, group: str) -> None:
    """Commit past the first waiting record of a partition, as Knative does once its dead letter is out."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=BROKERS,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        fetched: dict[Any, Any] = {}
        while not fetched:
            fetched = await consumer.getmany(timeout_ms=1000, max_records=100)
        at, records = next(iter(fetched.items()))
        await consumer.commit({TopicPartition(topic, at.partition): records[0].offset + 1})
    finally:
        await consumer.stop()


def headers_of(record: Any) -> dict[str, str]:
    """The HTTP headers of a record."""
    headers = {
        "host": f"profiler.{NAMESPACE}.svc.cluster.local",
        "prefer": "reply",
        "kn-namespace": NAMESPACE,
        "ce-knativekafkapartition": str(record.partition),
        "ce-knativekafkaoffset": str(record.offset),
    }
    for name, value in record.headers:
        if name.startswith("ce_"):
            headers[f"ce-{name[3:]}"] = value.decode()
        elif name == "content-type":
            headers["content-type"] = value.decode()
    return headers
