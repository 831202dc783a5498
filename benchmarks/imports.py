"""Import: `freshet events import` of a file of real purchases, until the last one is in its profile.

The file repeats the demo shop's year of purchases under new users and ids until it has the wanted
number of rows; the server is `freshet run --empty` on a folder of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._http import Connection
from benchmarks._measure import emit, machine, note
from benchmarks._system import System, running
from services.local.demo_shop import read_shop

APPLIED_TIMEOUT_S = 1800


def write_file(path: Path, rows: int) -> None:
    """A CSV of `rows` purchase lines."""
    lines = [
        (order["user_id"], line["item_id"], order["timestamp"], line["price"])
        for order in read_shop().orders
        for line in order["items"]
    ]
    with path.open("w", newline="") as sink:
        writer = csv.writer(sink)
        writer.writerow(["user_id", "event_type", "item_id", "timestamp", "price"])
        for number in range(rows):
            user, item, timestamp, price = lines[number % len(lines)]
            writer.writerow([f"{user}-{number // len(lines)}", "purchase", item, timestamp, price])


async def applied(port: int) -> int:
    """Records of the events topic that the profiler has applied."""
    connection = await Connection.open(port)
    _, text = await connection.request("GET", "/metrics")
    await connection.close()
    total = 0.0
    for line in text.decode().splitlines():
        if line.startswith("freshet_profiler_records_total{") and 'topic="events"' in line:
            total += float(line.rpartition(" ")[2])
    return int(total)


def measure(system: System, path: Path, rows: int) -> tuple[float, float]:
    """(rows a second acknowledged, rows a second in profiles)."""
    began = time.monotonic()
    subprocess.run(
        [
            *(sys.executable, "-m", "services.cli", "events", "import", str(path)),
            *("--url", f"http://127.0.0.1:{system.port}"),
        ],
        check=True,
        stdout=sys.stderr,
    )
    acknowledged_s = time.monotonic() - began
    while asyncio.run(applied(system.port)) < rows:
        if time.monotonic() - began > APPLIED_TIMEOUT_S:
            raise RuntimeError("the profiler did not catch up")
        time.sleep(0.2)
    return rows / acknowledged_s, rows / (time.monotonic() - began)


def main() -> None:
    """Make the file, start, import, wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    acknowledged: list[float] = []
    profiled: list[float] = []
    with tempfile.TemporaryDirectory(prefix="freshet-import-") as folder:
        path = Path(folder) / "events.csv"
        note(f"writing {arguments.rows:,} rows ...")
        write_file(path, arguments.rows)
        for number in range(arguments.runs):
            data = Path(folder) / f"data-{number}"
            with running(data, "--empty") as system:
                rates = measure(system, path, arguments.rows)
            acknowledged.append(rates[0])
            profiled.append(rates[1])
            note(json.dumps({"acknowledged_per_s": rates[0], "profiled_per_s": rates[1]}))
    emit("import_acknowledged", acknowledged, "events/s", digits=0, rows=arguments.rows, machine=machine())
    emit("import_in_profiles", profiled, "events/s", digits=0, rows=arguments.rows, machine=machine())


if __name__ == "__main__":
    main()
