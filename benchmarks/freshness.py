"""Freshness: from the 202 to the first answer that reflects the event, closed loop, one user at a time.

The clock starts when the 202 has arrived. Three ways to ask:
`after`: `recently_viewed` with `?after=POSITION`; counts when the item stands first and `fresh` is true.
`polling`: the same without `after=`, again and again, as a client without positions would.
`for_you`: the model's list with `?after=POSITION`; counts when `fresh` is true.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import time
from collections.abc import Iterator
from typing import Any

from benchmarks._http import Connection
from benchmarks._measure import emit, machine, note, percentile
from benchmarks._system import running

ROUNDS = 5
EVENTS_PER_ROUND = 300
WARM_UP_EVENTS = 100
POLLS_MAX = 2000


async def once(connection: Connection, user: str, item: str, kind: str) -> float:
    """Post one view, ask until the answer reflects it; milliseconds from the 202."""
    event = {"user_id": user, "event_type": "view", "item_id": item}
    status, accepted = await connection.json("POST", "/events", event)
    if status != 202:
        raise RuntimeError(f"POST /events answered {status}: {accepted}")
    began = time.perf_counter()
    path = f"/recommend/{user}?n=10" + ("" if kind == "for_you" else "&scenario=recently_viewed")
    if kind != "polling":
        path += f"&after={accepted['positions'][0]}"
    for _ in range(POLLS_MAX):
        status, answer = await connection.json("GET", path)
        if status != 200:
            raise RuntimeError(f"GET {path} answered {status}: {answer}")
        if reflects(answer, item, kind):
            return (time.perf_counter() - began) * 1000
    raise RuntimeError(f"{POLLS_MAX} answers without the event")


def reflects(answer: dict[str, Any], item: str, kind: str) -> bool:
    """Whether an answer knows of the event."""
    if kind != "polling" and not answer["fresh"]:
        return False
    if kind == "for_you":
        return bool(answer["strategy"] == "model" and answer["profile_events"])
    return bool(answer["items"] and answer["items"][0]["item_id"] == item)


async def measure(port: int, label: str) -> None:
    """Run the rounds and print the figures."""
    connection = await Connection.open(port)
    _, page = await connection.json("GET", "/items?limit=200")
    items = [item["item_id"] for item in page["items"]]
    for index in range(WARM_UP_EVENTS):
        await once(connection, f"warm-{index % 10}", random.choice(items), "after")
    for kind in ("after", "polling", "for_you"):
        rounds = [
            [
                await once(connection, f"bench-{kind}-{number}-{index % 50}", random.choice(items), kind)
                for index in range(EVENTS_PER_ROUND)
            ]
            for number in range(ROUNDS)
        ]
        for percent in (50, 99):
            emit(
                f"freshness_{label}_{kind}_p{percent}",
                [percentile(values, percent) for values in rounds],
                "ms",
                events=ROUNDS * EVENTS_PER_ROUND,
                machine=machine(),
            )
    await connection.close()


@contextlib.contextmanager
def kafka_environment(wanted: bool) -> Iterator[dict[str, str]]:
    """The environment that puts the log on a real broker, or nothing."""
    if not wanted:
        yield {}
        return
    from tests.servers import kafka_broker

    with kafka_broker() as broker:
        yield {"FRESHET_LOG_URL": f"kafka://{broker.bootstrap}"}


def main() -> None:
    """Measure the embedded default, then Kafka where Java is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", choices=("embedded", "kafka", "both"), default="both")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    for label in ("embedded", "kafka"):
        if arguments.log not in (label, "both"):
            continue
        note(f"starting freshet run on the {label} log ...")
        with kafka_environment(label == "kafka") as environment, running(None, **environment) as system:
            asyncio.run(measure(system.port, label))


if __name__ == "__main__":
    main()
