"""What a request to ingest costs beside a real Kafka: CPU and latency by how many are in flight.

Single events over keep-alive connections on loopback. The broker and this program share the machine's cores,
so latency is theirs too; CPU is that of ingest's process alone. It says what concurrency a platform may
aim at: docs/OPERATIONS.md, "Scaling".
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time

from benchmarks._http import Connection
from benchmarks._measure import emit, machine, note, percentile
from benchmarks._system import free_port
from tests.kafka.broker import kafka_broker

_READY_TIMEOUT_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


def _cpu_s(process: int) -> float:
    with open(f"/proc/{process}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def _ready(port: int) -> None:
    end_s = time.monotonic() + _READY_TIMEOUT_S
    while True:
        try:
            connection = await Connection.open(port)
            status, _ = await connection.request("GET", "/readyz")
            await connection.close()
            if status == 200:
                return
        except OSError:
            pass
        if time.monotonic() > end_s:
            raise TimeoutError("ingest is not ready")
        await asyncio.sleep(0.1)


async def _load(port: int, in_flight: int, seconds: float) -> list[float]:
    """Latencies, s."""
    end_s = time.monotonic() + seconds
    latencies: list[float] = []

    async def one() -> None:
        connection = await Connection.open(port)
        event = {"user_id": "ada", "event_type": "view", "item_id": "sku-1"}
        while (began_s := time.monotonic()) < end_s:
            status, answer = await connection.json("POST", "/events", event)
            if status != 202:
                raise RuntimeError(f"{status} {answer}")
            latencies.append(time.monotonic() - began_s)
        await connection.close()

    await asyncio.gather(*(one() for _ in range(in_flight)))
    return latencies


def main() -> None:
    """Start a broker and ingest, load it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, nargs="*", default=[1, 8, 50])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    port = free_port()
    with kafka_broker() as broker:
        environment = {
            **os.environ,
            "FRESHET_LOG_URL": broker.url,
            "FRESHET_HOST": "127.0.0.1",
            "FRESHET_PORT": str(port),
        }
        with subprocess.Popen([sys.executable, "-m", "services.ingest"], env=environment) as ingest:
            try:
                asyncio.run(_ready(port))
                for in_flight in arguments.in_flight:
                    cpu_ms, p50_ms, p99_ms, rates = [], [], [], []
                    for _ in range(arguments.runs):
                        note(f"{in_flight} in flight ...")
                        before_s, began_s = _cpu_s(ingest.pid), time.monotonic()
                        latencies = asyncio.run(_load(port, in_flight, arguments.seconds))
                        cpu_ms.append((_cpu_s(ingest.pid) - before_s) * 1000 / len(latencies))
                        rates.append(len(latencies) / (time.monotonic() - began_s))
                        p50_ms.append(percentile(latencies, 50) * 1000)
                        p99_ms.append(percentile(latencies, 99) * 1000)
                    said = {"in_flight": in_flight, "machine": machine()}
                    emit("ingest_cpu", cpu_ms, "ms a request", digits=3, **said)
                    emit("ingest_rate", rates, "requests/s", digits=0, **said)
                    emit("ingest_p50", p50_ms, "ms", **said)
                    emit("ingest_p99", p99_ms, "ms", **said)
            finally:
                ingest.terminate()


if __name__ == "__main__":
    main()
