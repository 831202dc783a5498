"""Cold starts: from exec to the first answer that does the service's work, and from a record to its effect.

Every service is started as its image starts it, on a log and a store that have been in use, with a release of
100,000 items in the store's catalogue. The answers:

  ingest       POST /events → 202: the log has the event
  profiler     GET /readyz → 200: records are being applied
  recommender  GET /recommend/USER → 200 from the model, items with their fields

`_bare` is the barest program that loads the same libraries: imports, bind, one answer. It takes turns with
the service, so `_ratio` holds on a busy machine too. `wall` is the clock's time, `cpu` what all threads have
run until then, `rss` the resident memory right after the answer. `effect` is from exec of a profiler to the
profile of a record that was waiting, with the group's last reader stopped cleanly.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks._coldworld import (
    Start,
    World,
    any_ok,
    compiled,
    describe,
    effect_of,
    event,
    first_answer,
    item_id,
    process,
    program,
    release_of,
    request_of,
    write_bare,
)
from benchmarks._measure import emit, machine, note
from benchmarks._system import free_port
from services.log.protocol import Topic
from services.store.connection import connect
from tests.servers import kafka_broker, valkey_server

SERVICES: Final = ("ingest", "profiler", "recommender")
KAFKA_ITEMS: Final = 2_000  # of the catalogue that the log on Kafka holds: what is read from there is no more
_USER: Final = "user-7"
_EVENT: Final = json.dumps({"user_id": "u_12345", "event_type": "product_view", "product_id": item_id(3)})


def _by_model(status: int, body: bytes) -> bool:
    if status != 200:
        return False
    answer = json.loads(body)
    return answer["strategy"] == "model" and len(answer["items"]) == 10 and bool(answer["items"][0]["title"])


class Case(NamedTuple):
    """One thing to start, and the request whose answer ends the start."""

    name: str
    service: str
    world: World
    request: bytes
    is_wanted: Callable[[int, bytes], bool]
    bare: Path | None  # the program that takes its turns


def cases_of(service: str, world: World, label: str, folder: Path) -> list[Case]:
    """The service and, beside it, the barest program with its libraries."""
    asked = {
        "ingest": (request_of("POST", "/events", _EVENT.encode()), any_ok),
        "profiler": (request_of("GET", "/readyz"), any_ok),
        "recommender": (request_of("GET", f"/recommend/{_USER}?n=10&fields=title"), _by_model),
    }
    request, is_wanted = asked[service]
    name = f"{service}{label}"
    bare = folder / f"bare_{name}.py"
    names = write_bare(bare, service, world.environment(free_port()))
    note(f"{name}: {len(names)} modules of libraries")
    return [
        Case(name, service, world, request, is_wanted, None),
        Case(f"{name}_bare", service, world, request_of("GET", "/"), any_ok, bare),
    ]


def start(case: Case) -> Start:
    """One cold start."""
    port = free_port()
    environment = case.world.environment(port)
    began_s = time.perf_counter()
    running = process(case.service, environment) if case.bare is None else program(case.bare, environment)
    with running as child:
        return first_answer(began_s, child, port, case.request, case.is_wanted)


def effect(world: World, number: int) -> float:
    """ms from exec of a profiler to the profile of a record that waits."""
    subject = f"waiting-{time.time_ns()}-{number}"
    draft = event(subject, item_id(number), time.time_ns() // 1_000_000)
    asyncio.run(world.append(Topic.EVENTS, [draft]))

    async def seen(began_s: float) -> float:
        connection = connect(world.settings())
        try:
            return await effect_of(connection, subject, began_s)
        finally:
            await connection.close()

    environment = world.environment(free_port())
    began_s = time.perf_counter()
    with process("profiler", environment):
        return asyncio.run(seen(began_s))


def measure(cases: list[Case], worlds: dict[str, World], runs: int) -> None:
    """All cases in turns, `runs` times, after one round that warms the page cache; then the figures."""
    starts: dict[str, list[Start]] = defaultdict(list)
    effects: dict[str, list[float]] = defaultdict(list)
    for number in range(runs + 1):
        for case in cases:
            found = start(case)
            if number:
                starts[case.name].append(found)
            else:
                note(f"{case.name:<28} {describe(found)}")
        for label, world in worlds.items():
            took_ms = effect(world, number)
            if number:
                effects[label].append(took_ms)
    for case in cases:
        emit_start(case.name, starts[case.name], starts.get(f"{case.name}_bare"))
    for label, times_ms in effects.items():
        emit(f"coldstart_effect{label}", times_ms, "ms", 0, machine=machine())


def emit_start(name: str, starts: list[Start], bare: list[Start] | None) -> None:
    """The figures of one case; ratios are those of neighbours in time."""
    emit(f"coldstart_{name}_wall", [one.wall_ms for one in starts], "ms", 0, machine=machine())
    emit(f"coldstart_{name}_cpu", [one.usage.cpu_ms for one in starts], "ms", 0, machine=machine())
    own_mb = round(statistics.median(one.usage.own_mb for one in starts), 1)
    emit(f"coldstart_{name}_rss", [one.usage.resident_mb for one in starts], "MB", 1, own=own_mb)
    if bare:
        pairs = list(zip(starts, bare, strict=True))
        walls = [one.wall_ms / least.wall_ms for one, least in pairs]
        emit(f"coldstart_{name}_wall_ratio", walls, "x")
        cpus = [one.usage.cpu_ms / least.usage.cpu_ms for one, least in pairs]
        emit(f"coldstart_{name}_cpu_ratio", cpus, "x")


def main() -> None:
    """Fill a world on the embedded log and one on Kafka, then start everything in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", nargs="*", default=list(SERVICES), choices=SERVICES)
    parser.add_argument("--items", type=int, default=100_000, help="items of release and catalogue")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--no-kafka", action="store_true", help="the embedded log alone")
    parser.add_argument("--no-effect", action="store_true", help="starts alone")
    arguments = parser.parse_args()
    compiled()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-cold-")))
        note(f"a release of {arguments.items:,} items ...")
        catalogue = release_of(folder, arguments.items, 64, 1)
        releases = str(folder / "releases")
        valkey = stack.enter_context(valkey_server(append_only=True))
        worlds = {"": World("cold", valkey.url, valkey.url, releases)}
        if not arguments.no_kafka:
            broker = stack.enter_context(kafka_broker())
            worlds["_kafka"] = World("coldkafka", broker.url, valkey.url, releases)
        cases = []
        for label, world in worlds.items():
            note(f"filling the log and the store{label} ...")
            world.fill(catalogue, KAFKA_ITEMS if label else arguments.items)
            for service in arguments.services:
                if not (label and service == "recommender"):  # which knows no log
                    cases += cases_of(service, world, label, folder)
        measure(cases, {} if arguments.no_effect else worlds, arguments.runs)


if __name__ == "__main__":
    main()
