"""A batch of 1,000 users: how long it takes, and what visitors who come meanwhile notice of it.

The server is `freshet run` with its demo shop. Visitors come at a fixed rate, with and without a batch beside
them; what they wait is counted from when each was due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from benchmarks._http import Connection
from benchmarks._measure import emit, machine, note, percentile
from benchmarks._system import running
from benchmarks.recommend import open_loop, users_of

ROUNDS = 5
USERS = 1000
QUIET_S = 4.0  # visitors alone, of each round


async def batch(port: int, users: list[str]) -> tuple[float, float]:
    """Seconds to the first line and to the last."""
    lines = [{"user_id": users[at % len(users)], "context": {"mail": at}} for at in range(USERS)]
    body = json.dumps({"users": lines, "n": 20, "fields": ["title", "price"]}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    head = f"POST /recommend/batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    began = time.perf_counter()
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    header = await reader.readuntil(b"\r\n\r\n")
    if not header.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(header.decode())
    first_s, last = 0.0, b""
    while size := int(await reader.readline(), 16):  # a line of JSON a chunk
        last = (await reader.readexactly(size + 2))[:-2]
        first_s = first_s or time.perf_counter() - began
    done_s = time.perf_counter() - began
    if json.loads(last) != {"done": True, "users": USERS, "failed": 0, "repeated": []}:
        raise RuntimeError(f"the batch ended with {last!r}")
    writer.close()
    return first_s, done_s


async def beside(port: int, users: list[str], rate_per_s: int) -> tuple[list[float], list[float]]:
    """(ms of visitors during batches, seconds of those batches)."""
    took: list[float] = []

    async def batches() -> None:
        while sum(took) < QUIET_S:
            took.append((await batch(port, users))[1])

    running_batches = asyncio.create_task(batches())
    waits: list[float] = []
    while not running_batches.done():
        waits += await open_loop(port, users, rate_per_s, 0.5)
    await running_batches
    return waits, took


async def measure(port: int, rates: list[int], seed: int) -> None:
    """Print the figures."""
    connection = await Connection.open(port)
    users = await users_of(connection, seed)
    await batch(port, users)
    alone = [await batch(port, users) for _ in range(ROUNDS)]
    emit("batch_1000_first_line", [first_s * 1000 for first_s, _ in alone], "ms", machine=machine())
    emit("batch_1000_alone", [done_s for _, done_s in alone], "s")
    for rate in rates:
        quiet = [await open_loop(port, users, rate, QUIET_S) for _ in range(ROUNDS)]
        busy = [await beside(port, users, rate) for _ in range(ROUNDS)]
        for percent in (50, 99):
            name = f"visitors_{rate}_per_s_p{percent}"
            emit(name, [percentile(waits, percent) for waits in quiet], "ms")
            emit(f"{name}_during_batches", [percentile(waits, percent) for waits, _ in busy], "ms")
        emit(f"batch_1000_beside_{rate}_per_s", [s for _, took in busy for s in took], "s")
    await connection.close()


def main() -> None:
    """Start the system, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="*", default=[100], help="visitors, requests/s")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    note("starting freshet run ...")
    with running() as system:
        asyncio.run(measure(system.port, arguments.rates, arguments.seed))


if __name__ == "__main__":
    main()
