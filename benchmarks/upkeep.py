"""Catalogue upkeep: from the 202 of a change to the first answer that follows it, under load.

The server is `freshet run` with a synthetic shop of 20,000 items, under an open loop of requests and events.
Each item goes through its life:

  new          `PUT /items/{id}` → it stands in a list: of `new_arrivals`, of its shelf (a filter by category
               and price), of `similar` to an item that reads the same, and of the first 100 of `for_you`
               of somebody who looked at that one (nobody else wants the new one yet)
  price        `PATCH` of the price → a filter by the new one has it, and `fields=price` shows it
  category     `PATCH` of the category → it stands in the list of the other shelf
  unavailable  `PATCH` with `available: false` → the last answer that has it
  deleted      `DELETE` → the last answer that has it

The clock starts when the 202 has arrived. Answers are asked for every 20 ms: a figure is late by half of that
and one answer.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from benchmarks._http import Connection
from benchmarks._measure import emit, machine, note, percentile
from benchmarks._running_shop import Running, running_shop
from benchmarks._synthetic_shop import Shop, shop_of
from benchmarks.freshness import kafka_environment
from services.kernel.item import Item

ITEMS: Final = 20_000
USERS: Final = 200
ROUNDS: Final = 3
LIVES: Final = 40  # items of a round, one after the other, each for a second or two
POLL_S: Final = 0.02
QUIET_S: Final = 0.25  # without the item, before it counts as gone: more than one poll of the recommender
PATIENCE_S: Final = 15.0
POOL: Final = 32  # connections of the open loop
LISTS: Final = {"new_arrivals": 20, "shelf": 20, "similar": 20, "for_you": 100}  # and how long they are

SCENARIOS: Final = """\
[scenarios.shelf]
sources = ["catalogue"]
ranker = "in_order"
filter = { categories = { under = "$context.shelf" }, price = "$context.price" }
"""
Answer = dict[str, dict[str, Any]]  # item by id, by row
Figures = dict[str, list[float]]


class Life:
    """One item, one connection, one person who looks at such items."""

    def __init__(self, connection: Connection, item: Item, figures: Figures) -> None:
        self._connection = connection
        self._figures = figures
        self.item = item
        self._person = f"person-of-{item.item_id}"
        self._like = ""
        self._shelf = " > ".join(item.categories[0])
        self._price = item.price

    async def live(self, like: str, other: str) -> None:
        """From `PUT` to `DELETE`; `like`: an item that this one is like, `other`: another shelf."""
        item_id = self.item.item_id
        self._like = like
        event = {"user_id": self._person, "event_type": "view", "item_id": like}
        answer = await self._change("POST", "/events", event)
        await self._connection.request("GET", f"/recommend/{self._person}?after={answer['positions'][0]}")
        # new
        await self._change("PUT", f"/items/{item_id}", msgspec.to_builtins(self.item))
        began_s = time.perf_counter()
        missing = set(LISTS)
        async for answer in self._answers(began_s, "new"):
            for row in [row for row in missing if item_id in answer[row]]:
                missing.remove(row)
                self._took(f"new_{row}", began_s)
            if not missing:
                break
        # price
        price = 2_000.0 + random.random()
        self._price = price
        await self._changed("price", {"price": price}, lambda found: found["price"] == price)
        # category
        self._shelf = other
        path = other.split(" > ")
        await self._changed("category", {"categories": [path]}, lambda found: found["categories"] == [path])
        # unavailable
        await self._change("PATCH", f"/items/{item_id}", {"available": False})
        await self._gone("unavailable")
        # deleted
        await self._changed("available_again", {"available": True}, lambda _: True)
        await self._change("DELETE", f"/items/{item_id}")
        await self._gone("deleted")

    async def _change(self, method: str, path: str, body: object = None) -> Any:
        status, answer = await self._connection.json(method, path, body)
        if status != 202:
            raise RuntimeError(f"{method} {path} answered {status}: {answer}")
        return answer

    def _took(self, name: str, began_s: float, ended_s: float | None = None) -> None:
        ended_s = time.perf_counter() if ended_s is None else ended_s
        self._figures[name].append((ended_s - began_s) * 1000)

    async def _answers(
        self, began_s: float, what: str, lists: Iterable[str] = LISTS
    ) -> AsyncIterator[Answer]:
        """A page of some LISTS every POLL_S. Raises RuntimeError after PATIENCE_S."""
        asked = {
            "user_id": self._person,
            "item_id": self._like,
            "dedupe": False,
            "fields": ["price", "categories"],
            "context": {"shelf": self._shelf, "price": self._price},
            "rows": [{"id": name, "scenario": name, "n": LISTS[name]} for name in lists],
        }
        while time.perf_counter() - began_s < PATIENCE_S:
            status, answer = await self._connection.json("POST", "/recommend", asked)
            if status != 200:
                raise RuntimeError(f"POST /recommend answered {status}: {answer}")
            yield {row["id"]: {item["item_id"]: item for item in row["items"]} for row in answer["rows"]}
            await asyncio.sleep(POLL_S)
        raise RuntimeError(f"{self.item.item_id}: {what} was not to be seen within {PATIENCE_S:.0f} s")

    async def _changed(self, name: str, patch: dict[str, Any], is_new: Callable[[Any], bool]) -> None:
        """PATCH, until the filtered list, which asks for the new value, shows it."""
        await self._change("PATCH", f"/items/{self.item.item_id}", patch)
        began_s = time.perf_counter()
        async for answer in self._answers(began_s, name, ["shelf"]):
            found = answer["shelf"].get(self.item.item_id)
            if found is not None and is_new(found):
                self._took(name, began_s)
                return

    async def _gone(self, name: str) -> None:
        """Until no list has had it for QUIET_S; what counts is the last answer that had it."""
        began_s = last_s = time.perf_counter()
        async for answer in self._answers(began_s, name):
            now_s = time.perf_counter()
            if any(self.item.item_id in row for row in answer.values()):
                last_s = now_s
            elif now_s - last_s > QUIET_S:
                self._took(name, began_s, last_s)
                return


def newcomer(shop: Shop, number: int, label: str, rng: random.Random) -> tuple[Item, str, str]:
    """(an item such as there are on some shelf, the one it is like, another shelf of that aisle)."""
    shelf = rng.choice(sorted(shop.by_shelf))
    like = shop.items[rng.choice(shop.by_shelf[shelf])]
    other = rng.choice([one for one in shop.by_shelf if one.aisle == shelf.aisle and one != shelf])
    item = msgspec.structs.replace(
        like,
        item_id=f"new-{label}-{number}",
        group_id=None,
        available=True,
        price=1_000.0 + number,
        published_at=time.time_ns() // 1_000_000,
    )
    return item, like.item_id, " > ".join(other)


@asynccontextmanager
async def load(system: Running, shop: Shop, answers_per_s: int, events_per_s: int) -> AsyncIterator[None]:
    """An open loop of both while the block runs; says how the answers fared."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(POOL):
        free.put_nowait(await Connection.open(system.port))
    rng = random.Random(3)
    times_ms: list[float] = []

    async def send(due_s: float, is_event: bool) -> None:
        connection, user = await free.get(), rng.choice(system.users)
        try:
            if is_event:
                event = {"user_id": user, "event_type": "view", "item_id": rng.choice(shop.items).item_id}
                status, _ = await connection.json("POST", "/events", event)
            else:
                status, _ = await connection.request("GET", f"/recommend/{user}?n=20")
            if status not in {200, 202}:
                raise RuntimeError(f"an answer under load was {status}")
        finally:
            free.put_nowait(connection)
        if not is_event:
            times_ms.append((time.perf_counter() - due_s) * 1000)

    async def run(per_s: int, is_event: bool) -> None:
        began_s, number = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            while True:
                due_s = began_s + number / per_s
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                group.create_task(send(due_s, is_event))
                number += 1

    tasks = [asyncio.create_task(run(answers_per_s, False)), asyncio.create_task(run(events_per_s, True))]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while not free.empty():
            await free.get_nowait().close()
    p50, p99 = percentile(times_ms, 50), percentile(times_ms, 99)
    note(f"beside them {len(times_ms):,} answers of the open loop, p50 {p50:.1f} ms, p99 {p99:.1f} ms")


async def one_round(port: int, shop: Shop, label: str, lives: int, rng: random.Random) -> Figures:
    """All lives of a round, one after the other."""
    figures: Figures = defaultdict(list)
    connection = await Connection.open(port)
    for number in range(lives):
        item, like, other = newcomer(shop, number, label, rng)
        await Life(connection, item, figures).live(like, other)
    await connection.close()
    return figures


async def measure(system: Running, shop: Shop, label: str, arguments: argparse.Namespace) -> None:
    """All rounds under load, and the figures."""
    rng = random.Random(arguments.seed)
    async with load(system, shop, arguments.answers, arguments.events):
        rounds = [
            await one_round(system.port, shop, f"{label}-{number}", arguments.lives, rng)
            for number in range(ROUNDS)
        ]
    for name in rounds[0]:
        worst = round(max(max(figures[name]) for figures in rounds), 2)
        for percent in (50, 99):
            values = [percentile(figures[name], percent) for figures in rounds]
            emit(
                f"upkeep_{label}_{name}_p{percent}",
                values,
                "ms",
                changes=LIVES,
                worst=worst,
                machine=machine(),
            )
        note(f"{'worst of all':<46} {worst:>12,} ms")


def main() -> None:
    """Measure the embedded default, then Kafka where Java is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--log", choices=("embedded", "kafka", "both"), default="both")
    parser.add_argument("--answers", type=int, default=300, help="GET /recommend a second beside the changes")
    parser.add_argument("--events", type=int, default=100, help="events a second beside the changes")
    parser.add_argument("--lives", type=int, default=LIVES, help="items of each of the three rounds")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    shop = shop_of(arguments.items, arguments.seed)
    random.seed(arguments.seed)
    for label in ("embedded", "kafka"):
        if arguments.log not in (label, "both"):
            continue
        note(f"starting freshet run on the {label} log ...")
        with kafka_environment(label == "kafka") as environment:
            log_url = environment.get("FRESHET_LOG_URL", "")
            with running_shop(shop, USERS, arguments.seed, scenarios=SCENARIOS, log_url=log_url) as system:
                asyncio.run(measure(system, shop, label, arguments))


if __name__ == "__main__":
    main()
