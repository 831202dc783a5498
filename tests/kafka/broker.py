"""A real single-node Apache Kafka broker, from Maven's jars, with Java 17 or newer and no containers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class KafkaMissingError(Exception):
    """There is no broker to be had on this machine; the message says how to get one."""


class KafkaBroker:
    """One broker on loopback."""

    bootstrap: str
    url: str


@contextmanager
def kafka_broker(directory: Path | None = None) -> Iterator[KafkaBroker]:
    """A started broker."""
    if directory is None or directory:
        raise KafkaMissingError("the broker's harness is not there yet")
    yield KafkaBroker()
