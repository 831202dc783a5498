"""Kafka's records as ours."""

from __future__ import annotations

from typing import Any

from services.kernel.position import Position
from services.log.protocol import Record


def record_of(row: Any, generation: int, partition: int) -> Record:
    """An aiokafka ConsumerRecord as a Record.

    Others than ingest write records without a key, and headers without a value. Both are empty here, so that
    such a record ends in the dead topic and holds nothing up.
    """
    return Record(
        Position(generation, partition, row.offset),
        row.key or b"",
        row.value,
        tuple([(name, value or b"") for name, value in row.headers]),
        row.timestamp,
    )
