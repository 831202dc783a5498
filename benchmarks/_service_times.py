"""What one request costs a service that runs alone: its CPU, and the time until the answer.

A real Valkey is log and store, the release and the catalogue have as many items as the demo shop. One request
at a time over one connection, so nothing waits for anything else. The profiler in push mode gets the events
that were posted to ingest before, as a KafkaSource posts them.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks._coldworld import (
    USERS,
    World,
    any_ok,
    first_answer,
    item_id,
    process,
    release_of,
    request_of,
    usage,
)
from benchmarks._measure import emit, machine, note, percentile
from benchmarks._system import free_port
from services.log.open import open_log
from services.log.protocol import Record, Topic
from tests.servers import valkey_server

ITEMS: Final = 6_874  # as many as the demo shop has
WARM_UP: Final = 300
ROUNDS: Final = 5
ROUND_REQUESTS: Final = 1_000
_EVENTS: Final = WARM_UP + ROUNDS * ROUND_REQUESTS
_READ_TIMEOUT_S: Final = 30.0


def measure() -> None:
    """Start each service alone, ask, and print its figures."""
    with tempfile.TemporaryDirectory(prefix="freshet-times-") as scratch, valkey_server() as valkey:
        folder = Path(scratch)
        catalogue = release_of(folder, ITEMS, 64, 1)
        world = World("times", valkey.url, valkey.url, str(folder / "releases"))
        note("filling the log and the store ...")
        world.fill(catalogue, ITEMS)
        serve(world, "ingest", _posts(), 202)
        serve(world, "recommender", _questions(), 200)
        records = asyncio.run(_posted(world))
        serve(world, "profiler", (_push(record) for record in records), None, FRESHET_PROFILER_MODE="push")


def serve(
    world: World, service: str, requests: Iterable[bytes], wanted: int | None, **environment: str
) -> None:
    """Ask one service, `ROUNDS` rounds after a warm-up; print CPU, p50 and p99 of one request."""
    port, waiting = free_port(), iter(requests)
    with process(service, world.environment(port, **environment)) as child:
        first_answer(time.perf_counter(), child, port, request_of("GET", "/readyz"), any_ok)
        rounds, cpus_ms = asyncio.run(_rounds(port, child.pid, waiting, wanted))
    emit(f"service_{service}_cpu", cpus_ms, "ms", 3, machine=machine())
    for percent in (50, 99):
        emit(f"service_{service}_p{percent}", [percentile(one, percent) for one in rounds], "ms", 3)
    if statistics.median(cpus_ms) <= 0:
        raise RuntimeError(f"{service} used no CPU: was it asked at all?")


async def _rounds(
    port: int, pid: int, waiting: Iterator[bytes], wanted: int | None
) -> tuple[list[list[float]], list[float]]:
    """(ms of each request by round, CPU ms a request by round)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)

    async def timed(request: bytes) -> float:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0"
        )
        await reader.readexactly(int(length.partition(b":")[2]))
        took_ms = (time.perf_counter() - began) * 1000
        status = int(head[9:12])
        if status != wanted and not (wanted is None and 200 <= status < 300):
            raise RuntimeError(f"{request[:80]!r} answered {status}")
        return took_ms

    try:
        for request in islice(waiting, WARM_UP):
            await timed(request)
        rounds, cpus_ms = [], []
        for _ in range(ROUNDS):
            before_ms = usage(pid).cpu_ms
            rounds.append([await timed(request) for request in islice(waiting, ROUND_REQUESTS)])
            cpus_ms.append((usage(pid).cpu_ms - before_ms) / len(rounds[-1]))
        return rounds, cpus_ms
    finally:
        writer.close()


def _http(method: str, path: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers), "", ""]).encode() + body


def _posts() -> Iterator[bytes]:
    """One event a request, as a page posts it."""
    for number in range(_EVENTS):
        event = {
            "user_id": f"user-{number % USERS}",
            "event_type": "view",
            "item_id": item_id(number * 131 % ITEMS),
        }
        yield _http("POST", "/events", [("Content-Type", "application/json")], json.dumps(event).encode())


def _questions() -> Iterator[bytes]:
    for number in range(_EVENTS):
        yield _http("GET", f"/recommend/user-{number % USERS}?n=20")


async def _posted(world: World) -> list[Record]:
    """The events on the log, by partition and offset; those applied already answer at once."""
    log = open_log(world.settings())
    reader = log.consumer(Topic.EVENTS, None)
    found: list[Record] = []
    try:
        await reader.start()
        async with asyncio.timeout(_READ_TIMEOUT_S):
            while len(found) < _EVENTS:
                for records in (await reader.fetch(1000, 200)).values():
                    found += records
        await reader.stop()
    finally:
        await log.close()
    return sorted(found, key=lambda one: (one.position.partition, one.position.offset))


def _push(record: Record) -> bytes:
    """As a KafkaSource posts it."""
    ours = [(name.replace("ce_", "ce-", 1), value.decode()) for name, value in record.headers]
    place = [
        ("ce-knativekafkapartition", str(record.position.partition)),
        ("ce-knativekafkaoffset", str(record.position.offset)),
        ("ce-source", "/freshet"),
        ("Content-Type", "application/json"),
    ]
    return _http("POST", "/", [*ours, *place], record.value or b"")
