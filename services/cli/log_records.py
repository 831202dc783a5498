"""Records of one partition as a command reads them: without joining a group, up to an end that was fixed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.log.protocol import EventLog, Record, Topic

# Some MB at once; a read of Kafka brings about a MiB of them.
_READ_RECORDS = 5_000


async def records_below(
    log: EventLog, topic: Topic, partition: int, first: int, end: int
) -> AsyncIterator[list[Record]]:
    """The records with offsets first ≤ x < end in batches, in order. Raises LogError.

    Offsets may have gaps, and what retention removes meanwhile is passed over.
    """
    at = first
    while at < end:
        records = await log.read_from(topic, partition, at, min(_READ_RECORDS, end - at))
        if not records:
            return
        at = records[-1].position.offset + 1
        yield [record for record in records if record.position.offset < end]
