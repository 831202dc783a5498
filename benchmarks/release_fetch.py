"""Releases in the store: how long a cold start waits for one, and what it costs the server.

live     ReleaseSource.live() into an empty cache: fetched and hashed
fetch    the files alone, by bytes of a chunk; what services/release/valkey_place.py takes is marked
publish  a release directory to the server
server   time of the server's one thread for a fetch, by its own count (INFO cpu), and for one round trip
         of it: for so long it answers nobody else
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import redis

from benchmarks._measure import emit, machine, note
from benchmarks._synthetic import catalogue_of, make_release
from services.release import valkey_place
from services.release.place import open_place
from services.release.repository import promote, publish, remove
from services.release.source import ReleaseSource
from tests.servers import ValkeyServer, valkey_server

_SEED = 7
_CHUNKS = (64 << 10, 256 << 10, 1 << 20)


def main() -> None:
    """`python -m benchmarks.release_fetch`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--d", type=int, default=64, help="numbers of an item's vector")
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    note(machine())
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as scratch, valkey_server() as server:
        folder = Path(scratch)
        built = make_release(folder, catalogue_of(arguments.items, arguments.d, _SEED), _SEED)
        size = sum(path.stat().st_size for path in built.iterdir())
        more = {"items": arguments.items, "megabytes": round(size / 1e6, 1)}
        publishing = [_timed(lambda: _publish(built, server.url)) for _ in range(arguments.runs)]
        emit("release_fetch_publish", publishing, "ms", 1, **more)
        promote(server.url, built.name, 1)
        fetching = [_timed_live(server.url, folder) for _ in range(arguments.runs)]
        emit("release_fetch_live", fetching, "ms", 1, **more)
        for chunk in _CHUNKS:
            taken = " (taken)" if chunk == valkey_place.CHUNK_BYTES else ""
            emit(
                f"release_fetch_{chunk >> 10}k{taken}",
                _by_chunk(built, server, chunk, arguments.runs),
                "ms",
                1,
            )
        used_ms = [_server_ms(server, folder) for _ in range(arguments.runs)]
        emit("release_fetch_server", used_ms, "ms", 1)
        trips = max(1, size // valkey_place.TRIP_BYTES)
        emit("release_fetch_server_trip", [used / trips for used in used_ms], "ms", 2)


def _publish(built: Path, url: str) -> None:
    open_place(url).remove(built.name)
    publish(built, url)


def _timed(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return (time.perf_counter() - began_s) * 1000


def _timed_live(url: str, folder: Path) -> float:
    """A new client and an empty cache, as a container has them."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        return _timed(lambda: ReleaseSource(url, cache).live())


def _by_chunk(built: Path, server: ValkeyServer, chunk_bytes: int, runs: int) -> list[float]:
    taken, valkey_place.CHUNK_BYTES = valkey_place.CHUNK_BYTES, chunk_bytes  # type: ignore[misc]
    url = f"{server.url}?prefix=c{chunk_bytes}"
    try:
        publish(built, url)
        place = open_place(url)
        times_ms = []
        for _ in range(runs):
            with tempfile.TemporaryDirectory(dir=built.parent) as target:
                began_s = time.perf_counter()
                for path in built.iterdir():
                    place.fetch(f"{built.name}/{path.name}", Path(target) / path.name)
                times_ms.append((time.perf_counter() - began_s) * 1000)
        remove(url, built.name)
        return times_ms
    finally:
        valkey_place.CHUNK_BYTES = taken  # type: ignore[misc]


def _server_ms(server: ValkeyServer, folder: Path) -> float:
    with redis.Redis(host=server.host, port=server.port, protocol=2, decode_responses=True) as client:
        before = client.info("cpu")
        _timed_live(server.url, folder)
        after = client.info("cpu")
    names = ("used_cpu_sys_main_thread", "used_cpu_user_main_thread")
    return sum(float(after[name]) - float(before[name]) for name in names) * 1000


if __name__ == "__main__":
    main()
