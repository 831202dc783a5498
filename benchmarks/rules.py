"""What rules cost: filters, boosts, pins, caps, diversity on 100,000 items, beside the plain answer.

The server is `freshet run` with a synthetic shop (`benchmarks._synthetic_shop`). All kinds of question take
turns on one connection, so that what else the machine does hits all of them; `_more` is the difference to
`plain` in the same round, `_cpu` the CPU time of the server's process, which waiting for a core does not
lengthen.
`updating`: the same while each second 50 items change and 20 events come. `mask`: in this process, what a
filter alone costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks._http import Connection
from benchmarks._measure import emit, machine, note, percentile
from benchmarks._running_shop import Running, running_shop
from benchmarks._synthetic_shop import COUNTRIES, DEPARTMENTS, Shop, shop_of
from services.kernel.item import encode_item
from services.ranking.catalogue import Catalogue
from services.ranking.filter_json import parse_filter
from services.ranking.filter_masks import Variables

ITEMS: Final = 100_000
USERS: Final = 200
N: Final = 20
ROUNDS: Final = 5
TURNS: Final = 500  # of each kind in a round
UPDATES_PER_S: Final = 50
EVENTS_PER_S: Final = 20  # so that popularity is read anew each second
MASKS_A_ROUND: Final = 200

FILTER: Final[dict[str, Any]] = {
    "categories": {"under": "$context.department"},
    "price": {"gte": "$context.low", "lt": "$context.high"},
    "properties.territories": "$context.country",
    "tags": {"ne": "adult"},
}
BOOSTS: Final[list[dict[str, Any]]] = [
    {"filter": {"tags": "new"}, "by": 0.5},
    {"filter": {"properties.rating": {"gte": 4.5}}, "by": 0.3},
    {"filter": {"tags": "bulky"}, "by": -1.0},
]
CAPS: Final[list[dict[str, Any]]] = [{"field": "brand", "most": 2}]
HIDE: Final = {"bought": "30d", "viewed": "12h", "disliked": "always"}
DIVERSITY: Final = 0.3
_RULES: Final[dict[str, dict[str, Any]]] = {
    "filter": {"filter": FILTER},
    "hide": {"hide": HIDE},
    "boosts": {"boosts": BOOSTS},
    "caps": {"caps": CAPS},
    "diversity": {"diversity": DIVERSITY},
}
ALL: Final[dict[str, Any]] = {name: value for rules in _RULES.values() for name, value in rules.items()}


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    body: bytes = b""


class Questions:
    """The kinds of question, each with values that differ from one request to the next."""

    def __init__(self, shop: Shop, users: list[str], pages: dict[str, str], seed: int) -> None:
        """`pages`: the cursor of each user's second page."""
        self._users = users
        self._pages = pages
        self._rng = random.Random(seed)
        # What may be pinned wherever a question looks: sold everywhere, of a department, in the middle.
        self._pins: dict[str, list[str]] = defaultdict(list)
        for item in shop.items:
            sold = len(item.properties["territories"]) == len(COUNTRIES)
            plain = item.available and "adult" not in item.tags and item.group_id is None
            if sold and plain and item.price is not None and 20 <= item.price < 25:
                self._pins[item.categories[0][0]].append(item.item_id)
        self.kinds: dict[str, Callable[[], Asked]] = {
            "plain": self._plain,
            "all": lambda: self._post({**ALL, "pins": self._pinned()}),
            **{name: lambda rules=rules: self._post(rules) for name, rules in _RULES.items()},  # type: ignore[misc]
            "scenario": lambda: self._post({"scenario": "shelf"}),
            "explain": lambda: self._post({"explain": True}),
            "next_page": self._next_page,
            "rows": lambda: self._post({"rows": self._rows()}),
        }
        self._context: dict[str, Any] = {}

    def next(self, kind: str) -> Asked:
        """A request of that kind."""
        rng = self._rng
        low = rng.randint(1, 19)
        self._context = {
            "country": rng.choice(COUNTRIES),
            "department": f"Department {rng.randrange(DEPARTMENTS)}",
            "low": low,
            "high": low + rng.randint(10, 100),
        }
        return self.kinds[kind]()

    def _plain(self) -> Asked:
        return Asked("GET", f"/recommend/{self._rng.choice(self._users)}?n={N}")

    def _post(self, more: dict[str, Any]) -> Asked:
        asked = {"user_id": self._rng.choice(self._users), "n": N, "context": self._context, **more}
        return Asked("POST", "/recommend", msgspec.json.encode(asked))

    def _pinned(self) -> list[dict[str, Any]]:
        self._context["low"], self._context["high"] = self._rng.randint(1, 19), self._rng.randint(30, 100)
        items = self._rng.sample(self._pins[self._context["department"]], 2)
        return [{"item": item, "slot": slot} for item, slot in zip(items, (1, 5), strict=True)]

    def _next_page(self) -> Asked:
        user = self._rng.choice(list(self._pages))
        return Asked("GET", f"/recommend/{user}?n={N}&cursor={self._pages[user]}")

    def _rows(self) -> list[dict[str, Any]]:
        names = ("for_you", "trending", "popular", "new_arrivals")
        return [{"id": name, "scenario": name, "n": N} for name in names]


def scenario_file() -> str:
    """`shelf`: the rules of `all` but for its pins, as a deployment writes them down."""

    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{json.dumps(k)} = {inline(v)}" for k, v in value.items()) + " }"
        if isinstance(value, list):
            return "[" + ", ".join(map(inline, value)) + "]"
        return json.dumps(value)

    lines = [f"{name} = {inline(value)}" for name, value in ALL.items()]
    return "\n".join(["[scenarios.shelf]", 'extends = "for_you"', *lines, ""])


async def ask(connection: Connection, asked: Asked, wanted: int = 200) -> bytes:
    """The body of the answer. Raises RuntimeError for any other status."""
    status, body = await connection.request(*asked)
    if status != wanted:
        raise RuntimeError(f"{asked} answered {status}: {body[:500]!r}")
    return body


class Times(NamedTuple):
    """What each answer of one kind took in a round."""

    wall_ms: list[float]
    cpu_ms: list[float]


async def one_round(
    connection: Connection, questions: Questions, kinds: list[str], system: Running, rng: random.Random
) -> dict[str, Times]:
    """Every kind once a turn, in another order each time."""
    times = {kind: Times([], []) for kind in kinds}
    for _ in range(TURNS):
        for kind in rng.sample(kinds, len(kinds)):
            asked = questions.next(kind)
            cpu_ms, began_s = system.cpu_ms(), time.perf_counter()
            await ask(connection, asked)
            times[kind].wall_ms.append((time.perf_counter() - began_s) * 1000)
            times[kind].cpu_ms.append(system.cpu_ms() - cpu_ms)
    return times


async def measure_kinds(
    connection: Connection, questions: Questions, kinds: list[str], system: Running, label: str
) -> None:
    """All rounds of some kinds, and the figures."""
    rng = random.Random(1)
    await one_round(connection, questions, kinds, system, rng)  # warm
    rounds = [await one_round(connection, questions, kinds, system, rng) for _ in range(ROUNDS)]
    for kind in kinds:
        for at, clock in enumerate(("", "_cpu")):
            for percent in (50, 99):
                name = f"rules_{label}{kind}_p{percent}{clock}"
                values = [percentile(times[kind][at], percent) for times in rounds]
                emit(name, values, "ms", answers=TURNS, machine=machine())
                if kind != "plain":
                    plain = [percentile(times["plain"][at], percent) for times in rounds]
                    emit(f"{name}_more", [a - b for a, b in zip(values, plain, strict=True)], "ms")


async def check(connection: Connection, questions: Questions) -> None:
    """That the rules do what they are here to cost: no figure for a filter that nobody heeded."""
    for _ in range(20):
        asked = questions.next("all")
        body = json.loads(asked.body) | {"fields": ["categories", "price", "tags", "properties"]}
        answer = json.loads(await ask(connection, asked._replace(body=msgspec.json.encode(body))))
        context, items = body["context"], answer["items"]
        assert len(items) == N, answer
        assert [items[pin["slot"] - 1]["item_id"] for pin in body["pins"]] == [
            pin["item"] for pin in body["pins"]
        ]
        for item in items:
            assert item["categories"][0][0] == context["department"], item
            assert context["low"] <= item["price"] < context["high"], item
            assert context["country"] in item["properties"]["territories"], item
            assert "adult" not in item["tags"], item


@asynccontextmanager
async def updating(port: int, shop: Shop) -> AsyncIterator[None]:
    """Prices change and events come while the block runs, each at its time."""
    rng = random.Random(2)

    def price() -> Asked:
        body = msgspec.json.encode({"price": round(rng.uniform(5, 100), 2)})
        return Asked("PATCH", f"/items/{rng.choice(shop.items).item_id}", body)

    def view() -> Asked:
        event = {"user_id": f"passer-by-{rng.random()}", "event_type": "view"}
        return Asked(
            "POST", "/events", msgspec.json.encode(event | {"item_id": rng.choice(shop.items).item_id})
        )

    async def run(per_s: int, made: Callable[[], Asked]) -> None:
        connection = await Connection.open(port)
        began_s, number = time.perf_counter(), 0
        try:
            while True:
                await asyncio.sleep(max(0.0, began_s + number / per_s - time.perf_counter()))
                await ask(connection, made(), 202)
                number += 1
        finally:
            await connection.close()

    tasks = [asyncio.create_task(run(UPDATES_PER_S, price)), asyncio.create_task(run(EVENTS_PER_S, view))]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def measure_answers(shop: Shop, system: Running, seed: int) -> None:
    """Everything that needs the server."""
    connection = await Connection.open(system.port)
    pages = {}
    for user in system.users:
        answer = json.loads(await ask(connection, Asked("GET", f"/recommend/{user}?n={N}")))
        pages[user] = answer["next_cursor"]
    questions = Questions(shop, system.users, pages, seed)
    await check(connection, questions)
    await measure_kinds(connection, questions, list(questions.kinds), system, "")
    async with updating(system.port, shop):
        await measure_kinds(connection, questions, ["plain", "all", "filter"], system, "updating_")
    await connection.close()


def masks(catalogue: Catalogue, shop: Shop, rng: random.Random) -> Iterator[tuple[str, float, float]]:
    """(case, ms, CPU ms) of masks for FILTER: other values than ever before, the same again, and after one
    item has changed.
    """
    wanted = parse_filter(FILTER)
    for number in range(MASKS_A_ROUND):
        context = {
            "country": rng.choice(COUNTRIES),
            "department": f"Department {rng.randrange(DEPARTMENTS)}",
            "low": rng.uniform(1, 20),
            "high": rng.uniform(30, 100),
        }
        for case in ("first", "again", "changed"):
            if case == "changed":
                item = shop.items[number]
                catalogue.upsert(msgspec.structs.replace(item, price=rng.uniform(5, 100)))
            began_s, cpu_s = time.perf_counter(), time.thread_time()
            catalogue.columns.mask(wanted, Variables(context))
            yield case, (time.perf_counter() - began_s) * 1000, (time.thread_time() - cpu_s) * 1000


def measure_masks(shop: Shop, seed: int) -> None:
    """What a filter costs by itself."""
    catalogue = Catalogue()
    catalogue.columns.want(parse_filter(FILTER).fields())
    catalogue.load(map(encode_item, shop.items))
    rng = random.Random(seed)
    list(masks(catalogue, shop, rng))
    rounds: list[dict[str, list[tuple[float, float]]]] = []
    for _ in range(ROUNDS):
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for case, wall_ms, cpu_ms in masks(catalogue, shop, rng):
            found[case].append((wall_ms, cpu_ms))
        rounds.append(found)
    for case in rounds[0]:
        for at, kind in enumerate(("ms", "cpu_ms")):
            for percent in (50, 99):
                values = [percentile([times[at] for times in found[case]], percent) for found in rounds]
                emit(f"rules_mask_{case}_p{percent}_{kind}", values, "ms", 3, items=len(shop.items))


def main() -> None:
    """Masks in this process, then answers over HTTP."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    shop = shop_of(arguments.items, arguments.seed)
    measure_masks(shop, arguments.seed)
    note("starting freshet run ...")
    with running_shop(shop, USERS, arguments.seed, scenarios=scenario_file()) as system:
        asyncio.run(measure_answers(shop, system, arguments.seed))


if __name__ == "__main__":
    main()
