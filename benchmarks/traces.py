"""Traces: what they cost a POST of one event, an answer, an event of the profiler; off, sampled out, sampled.

`freshet run` is started once for each way; rounds of all ways take turns, so that a busy machine is no way's
own trouble. CPU is the process's own, its sending thread included; Valkey and the collector are others.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks._http import Connection
from benchmarks._measure import emit, machine, note, percentile
from benchmarks._system import System, running
from benchmarks.profiler import BATCH_RECORDS, records_of, updater_on
from benchmarks.recommend import cpu_s, timed, users_of
from services.http.server import tune_garbage_collector
from services.http.traced import TraceLayer
from services.kernel.item import parse_item
from services.kernel.metrics import Metrics
from services.kernel.settings import TraceSettings
from services.kernel.tracing import carrier_of
from services.local.demo_shop import read_shop
from services.log.protocol import Record
from services.log.traced import headers_of
from services.profiler.settings import ProfilerSettings
from services.profiler.traced import Traces
from services.store.connection import connect
from services.tracing.open import open_tracer
from services.trainer.day0 import init_release
from tests.servers import valkey_server

T = TypeVar("T")

ROUNDS: Final = 5
CALLS: Final = 20_000
REQUESTS: Final = 600  # of each kind a round
RATIO: Final = "parentbased_traceidratio"
# Each way's variables beside the collector's address.
WAYS: Final[Mapping[str, Mapping[str, str]]] = {
    "off": {},
    "sampled_out": {"FRESHET_TRACES": "otlp", "OTEL_TRACES_SAMPLER": RATIO, "OTEL_TRACES_SAMPLER_ARG": "0"},
    "1_percent": {"FRESHET_TRACES": "otlp", "OTEL_TRACES_SAMPLER": RATIO, "OTEL_TRACES_SAMPLER_ARG": "0.01"},
    "all": {"FRESHET_TRACES": "otlp"},
}
COLLECTOR: Final = """
import sys, time
from tests.otlp import collector
with collector() as receiver:
    receiver.take = lambda payload: None
    print(receiver.environment["OTEL_EXPORTER_OTLP_ENDPOINT"], flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def collecting() -> Iterator[str]:
    """The address of a collector in a process of its own, that throws everything away."""
    process = subprocess.Popen(
        [sys.executable, "-c", COLLECTOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()


async def requests(systems: Mapping[str, System]) -> None:
    """CPU of a POST of one event and of an answer, and what each way adds to it; median latencies."""
    users = {way: await asked(system.port, users_of_bench) for way, system in systems.items()}
    cpu: dict[tuple[str, str], list[float]] = {}
    p50: dict[tuple[str, str], list[float]] = {}
    for number in range(ROUNDS + 1):  # the first is a warm-up
        note(f"round {number} of {ROUNDS} ...")
        ways = list(systems.items())
        for way, system in ways if number % 2 else reversed(ways):  # nobody is always first
            for what, ask in (("answer", answers), ("event", posts)):
                before_s = cpu_s(system.process.pid)
                values_ms = await asked(system.port, ask, users[way])
                used_s = cpu_s(system.process.pid) - before_s
                if number:
                    cpu.setdefault((what, way), []).append(used_s * 1e6 / REQUESTS)
                    p50.setdefault((what, way), []).append(percentile(values_ms, 50))
    for (what, way), values in cpu.items():
        emit(f"traces_{what}_{way}_cpu", values, "us", 0, machine=machine())
        if way != "off":
            more = [one - off for one, off in zip(values, cpu[what, "off"], strict=True)]
            emit(f"traces_{what}_{way}_adds", more, "us", 0)
        emit(f"traces_{what}_{way}_p50", p50[what, way], "ms")


async def layer() -> None:
    """CPU of the outermost layer of an app for a request: what one pays for those that are not sampled."""

    async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pass

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pass

    os.environ.update(WAYS["sampled_out"])
    tracer = open_tracer(TraceSettings(traces="otlp"), "bench")
    for name in WAYS["sampled_out"]:
        del os.environ[name]
    assert tracer is not None
    apps: dict[str, ASGIApp] = {"without": nothing, "sampled_out": TraceLayer(nothing, tracer, frozenset())}
    values: dict[str, list[float]] = {name: [] for name in apps}
    headers = [(f"x-{number}".encode(), b"value") for number in range(8)]
    for _ in range(ROUNDS):
        for name, app in apps.items():
            before_s = time.process_time()
            for _ in range(CALLS):
                scope = {
                    "type": "http", "method": "GET", "path": "/", "scheme": "http", "http_version": "1.1",
                    "headers": headers,
                }  # fmt: skip
                await app(scope, receive, send)
            values[name].append((time.process_time() - before_s) / CALLS * 1e6)
    more = [one - none for one, none in zip(values["sampled_out"], values["without"], strict=True)]
    emit("traces_request_sampled_out_adds", more, "us", 1, machine=machine())
    await tracer.close()


async def asked(port: int, ask: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """What `ask` makes of a connection of its own: one left idle for a round would be closed."""
    connection = await Connection.open(port)
    try:
        return await ask(connection, *arguments)
    finally:
        await connection.close()


async def users_of_bench(connection: Connection) -> list[str]:
    """Users with a history."""
    return await users_of(connection, 1)


async def answers(connection: Connection, users: list[str]) -> list[float]:
    """One at a time: ms."""
    return [
        await timed(connection, f"/recommend/{users[number % len(users)]}?n=20") for number in range(REQUESTS)
    ]


async def posts(connection: Connection, users: list[str]) -> list[float]:
    """Events one at a time, each acknowledged: ms."""
    values = []
    for number in range(REQUESTS):
        event = {"user_id": users[number % len(users)], "event_type": "search", "properties": {"q": "tea"}}
        began_s = time.perf_counter()
        status, answer = await connection.json("POST", "/events", event)
        if status != 202:
            raise RuntimeError(f"POST /events answered {status}: {answer}")
        values.append((time.perf_counter() - began_s) * 1000)
    return values


def with_traces(records: list[Record], every: int) -> list[Record]:
    """Each `every`th record carries a trace of its own."""
    return [
        record._replace(headers=(*record.headers, *headers_of(carrier_of(_parent()))))
        if every and number % every == 0
        else record
        for number, record in enumerate(records)
    ]


def _parent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


async def profiler_cpu(store_url: str, release_url: str, ways: Mapping[str, list[Record]]) -> None:
    """CPU of an event in batches of 500, as `make bench-profiler` measures it."""
    settings = ProfilerSettings(store_url=store_url, log_url=store_url, release_url=release_url)
    tracer = open_tracer(TraceSettings(traces="otlp"), "bench")
    assert tracer is not None
    connection = connect(settings)
    figures: dict[str, list[float]] = {way: [] for way in ways}
    try:
        for number in range(ROUNDS + 1):
            for way, records in ways.items():
                await connection.execute("FLUSHDB")
                updater = await updater_on(connection, settings, Metrics())
                if way != "off":
                    updater._traces = Traces(tracer, settings)
                before_s = time.process_time()
                for first in range(0, len(records), BATCH_RECORDS):
                    await updater.apply(0, records[first : first + BATCH_RECORDS])
                if number:
                    figures[way].append((time.process_time() - before_s) / len(records) * 1e6)
    finally:
        await connection.close()
        await tracer.close()
    for way, values in figures.items():
        emit(f"traces_profiler_{way}_cpu", values, "us/event", 1, machine=machine())


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=15_000)
    arguments = parser.parse_args()
    with collecting() as address, contextlib.ExitStack() as held:
        asyncio.run(layer())
        systems = {}
        for way, variables in WAYS.items():
            note(f"starting freshet run, traces {way} ...")
            started = running(None, OTEL_EXPORTER_OTLP_ENDPOINT=address, **variables)
            systems[way] = held.enter_context(started)
        asyncio.run(requests(systems))
        held.close()
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
        shop = read_shop()
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="freshet-traces-"))
        server = held.enter_context(valkey_server())
        init_release(folder, [parse_item(item) for item in shop.items], now_ms=1)
        records = list(records_of(shop, arguments.records, "view"))
        ways = {"off": records, "none_traced": records}
        ways |= {f"1_in_{every}": with_traces(records, every) for every in (100, 1)}
        tune_garbage_collector()
        note("the profiler's writes ...")
        asyncio.run(profiler_cpu(server.url, folder, ways))


if __name__ == "__main__":
    main()
