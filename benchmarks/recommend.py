"""Answers: latency and CPU of `GET /recommend/{user}` for users with a real history, closed and open loop.

The server is `freshet run` with its demo shop (one process, everything in it). The open loop sends at a fixed
rate whatever the answers do, so that waiting in a queue counts.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from pathlib import Path

from benchmarks._http import Connection
from benchmarks._measure import emit, machine, note, percentile
from benchmarks._system import running

ROUNDS = 5
REQUESTS_PER_ROUND = 1000
OPEN_LOOP_CONNECTIONS = 32


async def users_of(connection: Connection, seed: int, count: int = 200) -> list[str]:
    """Users who have a history: a few that this program makes, on items of the catalogue."""
    rng = random.Random(seed)
    _, page = await connection.json("GET", "/items?limit=200")
    items = [item["item_id"] for item in page["items"]]
    users = [f"bench-user-{number}" for number in range(count)]
    position = ""
    for user in users:
        events = [
            {"user_id": user, "event_type": "view", "item_id": rng.choice(items)}
            for _ in range(rng.randint(3, 20))
        ]
        status, answer = await connection.json("POST", "/events", events)
        if status != 202:
            raise RuntimeError(f"POST /events answered {status}: {answer}")
        position = answer["positions"][-1]
        await connection.request("GET", f"/recommend/{user}?after={position}&n=1")
    return users


async def timed(connection: Connection, path: str, since: float | None = None) -> float:
    """One answer, in ms; from `since` where the request was due earlier."""
    began = since if since is not None else time.perf_counter()
    status, _ = await connection.request("GET", path)
    if status != 200:
        raise RuntimeError(f"GET {path} answered {status}")
    return (time.perf_counter() - began) * 1000


async def closed_loop(connection: Connection, users: list[str]) -> list[float]:
    """One request at a time."""
    return [
        await timed(connection, f"/recommend/{users[n % len(users)]}?n=20") for n in range(REQUESTS_PER_ROUND)
    ]


async def open_loop(port: int, users: list[str], rate_per_s: int, seconds: float) -> list[float]:
    """Requests at a fixed rate over a bounded pool of connections, timed from when each was due."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(OPEN_LOOP_CONNECTIONS):
        free.put_nowait(await Connection.open(port))

    async def one(number: int, due: float) -> float:
        connection = await free.get()
        try:
            return await timed(connection, f"/recommend/{users[number % len(users)]}?n=20", due)
        finally:
            free.put_nowait(connection)

    began = time.perf_counter()
    tasks = []
    for number in range(int(rate_per_s * seconds)):
        due = began + number / rate_per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(number, due)))
    values = await asyncio.gather(*tasks)
    while not free.empty():
        await free.get_nowait().close()
    return list(values)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def measure(port: int, pid: int, rates: list[int], seed: int) -> None:
    """Print the figures."""
    connection = await Connection.open(port)
    users = await users_of(connection, seed)
    await closed_loop(connection, users)
    rounds, cpu = [], []
    for _ in range(ROUNDS):
        before = cpu_s(pid)
        rounds.append(await closed_loop(connection, users))
        cpu.append((cpu_s(pid) - before) * 1e6 / REQUESTS_PER_ROUND)
    for percent in (50, 99):
        emit(
            f"recommend_closed_p{percent}", [percentile(r, percent) for r in rounds], "ms", machine=machine()
        )
    emit("recommend_cpu", cpu, "us", digits=0)
    for rate in rates:
        rounds = [await open_loop(port, users, rate, 4.0) for _ in range(3)]
        for percent in (50, 99):
            emit(f"recommend_open_{rate}_per_s_p{percent}", [percentile(r, percent) for r in rounds], "ms")
    await connection.close()


def main() -> None:
    """Start the system, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="*", default=[100, 300], help="open loop, requests/s")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    note("starting freshet run ...")
    with running() as system:
        asyncio.run(measure(system.port, system.process.pid, arguments.rates, arguments.seed))


if __name__ == "__main__":
    main()
