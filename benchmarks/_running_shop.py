"""A synthetic shop in a running Freshet: `freshet run`, everything by the real way, people with histories."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks._coldworld import usage
from benchmarks._http import Connection
from benchmarks._measure import note
from benchmarks._synthetic_shop import Shop, batches, history_of
from benchmarks._system import running
from services.trainer.day0 import init_release

ITEMS_A_REQUEST: Final = 500  # some 250 KB
EVENTS_A_REQUEST: Final = 500
OTHER_PEOPLE: Final = 2_000  # who make trending, popular and co-visitation
CATCH_UP_S: Final = 300.0
_ITEMS_IN_MEMORY: Final = re.compile(rb"^freshet_catalogue_items ([0-9.e+]+)$", re.MULTILINE)


class Running(NamedTuple):
    """A Freshet that serves the shop. `users` have a history each."""

    port: int
    pid: int
    users: list[str]

    def cpu_ms(self) -> float:
        """CPU time of the process so far; its Valkey, a process of its own, is not in it (Linux)."""
        return usage(self.pid).cpu_ms


@contextlib.contextmanager
def running_shop(
    shop: Shop, users: int, seed: int, *, scenarios: str = "", log_url: str = ""
) -> Iterator[Running]:
    """`freshet run` with the shop, a day-0 release of it and `users` people, until the block ends.

    `scenarios` is the text of a scenario file; `log_url` another log than the embedded one.
    """
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as scratch:
        folder = Path(scratch)
        init_release(str(folder / "releases"), shop.items, time.time_ns() // 1_000_000)
        (folder / "scenarios.toml").write_text(scenarios)
        environment = {
            "FRESHET_RELEASE_URL": str(folder / "releases"),
            "FRESHET_SCENARIOS": str(folder / "scenarios.toml"),
            **({"FRESHET_LOG_URL": log_url} if log_url else {}),
        }
        with running(folder / "data", "--empty", **environment) as system:
            names = [f"bench-user-{number}" for number in range(users)]
            asyncio.run(_fill(system.port, shop, names, seed))
            yield Running(system.port, system.process.pid, names)


async def _fill(port: int, shop: Shop, users: Sequence[str], seed: int) -> None:
    """1. The catalogue, until the recommender has it. 2. What others did, then what the users did."""
    connection = await Connection.open(port)
    # 1.
    began_s = time.perf_counter()
    for batch in batches(shop.items, ITEMS_A_REQUEST):
        await _accepted(connection, "/items", batch)
    async with asyncio.timeout(CATCH_UP_S):
        while await _items_in_memory(connection) < len(shop.items):
            await asyncio.sleep(0.2)
    note(f"{len(shop.items):,} items by POST /items, in answers after {time.perf_counter() - began_s:.1f} s")
    # 2.
    rng = random.Random(seed)
    people = [*(f"other-{number}" for number in range(OTHER_PEOPLE)), *users]
    events = [event for person in people for event in history_of(shop, person, rng)]
    for first in range(0, len(events), EVENTS_A_REQUEST):
        await _accepted(connection, "/events", events[first : first + EVENTS_A_REQUEST])
    async with asyncio.timeout(CATCH_UP_S):
        for user in users:
            while (await connection.json("GET", f"/recommend/{user}?n=1"))[1]["strategy"] != "model":
                await asyncio.sleep(0.05)
    await asyncio.sleep(2.0)  # trending and popular are read each second
    await connection.close()


async def _accepted(connection: Connection, path: str, entries: Sequence[object]) -> None:
    status, answer = await connection.json("POST", path, entries)
    if status != 202 or answer["rejected"]:
        raise RuntimeError(f"POST {path} answered {status}: {str(answer)[:1000]}")


async def _items_in_memory(connection: Connection) -> float:
    _, metrics = await connection.request("GET", "/metrics")
    found = _ITEMS_IN_MEMORY.search(metrics)
    return float(found[1]) if found else 0.0
