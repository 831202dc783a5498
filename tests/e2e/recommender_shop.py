"""A small shop in a real store, written as the profiler writes it, for the recommender's tests."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np

from services.kernel.bank import Space
from services.kernel.covisits import NEIGHBOUR
from services.kernel.event_type import EventTypes
from services.kernel.ids import event_hash, item_key
from services.kernel.item import Item, encode_item
from services.kernel.position import Position
from services.kernel.profile import Change, Line, Profile, ProfileRules
from services.kernel.settings import StoreSettings
from services.recommender.app import create_app
from services.recommender.settings import RecommenderSettings
from services.release.files import Release, open_release
from services.release.source import ReleaseSource
from services.store.aggregates import AggregateStore, AggregateWrite
from services.store.catalogue import CatalogueReader, CatalogueWriter, ItemWrite
from services.store.connection import Connection, connect
from services.store.fence import Fence
from services.store.meta import MetaStore
from services.store.profiles import Outcome, ProfileStore, ProfileWrite
from services.trainer.day0 import init_release
from tests.serving import serving

T = TypeVar("T")
TTL_MS = 90 * 86_400_000
TYPES = EventTypes()
SHELVES = ("Cheese", "Bread", "Wine", "Tea")
PATIENCE_S = 30.0  # to end a test that would hang, not to measure anything
SLASHED = "gid://shopify/Product/1"


def shop_items(count: int = 120) -> list[Item]:
    """Items on four shelves; what stands on one shelf reads alike. One has slashes in its id."""
    items = [
        Item(
            item_id=f"p{number}",
            title=f"{SHELVES[number % 4]} number {number}",
            categories=[["Food", SHELVES[number % 4]]],
            brand=f"brand {number % 7}",
            price=1.0 + number,
        )
        for number in range(count)
    ]
    return [*items, Item(item_id=SLASHED, title="Cheese of Shopify", categories=[["Food", "Cheese"]])]


class Shop:
    """The writer's side. Each method is one visit to the store by a connection of its own."""

    def __init__(self, store_url: str, namespace: str, releases: Path) -> None:
        self.settings = StoreSettings(store_url=store_url, namespace=namespace)
        self.releases = releases
        self.epoch = 1
        self.offset = -1
        self._item_fence: Fence | None = None
        self._item_offset = -1

    def visit(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` with a connection."""

        async def run() -> T:
            connection = connect(self.settings)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(run())

    def open(self, partitions: int = 1) -> None:
        """Give the store its identity."""
        self.visit(lambda connection: MetaStore(connection).create(now_ms(), partitions=partitions))

    def put(self, items: Sequence[Item], *, delete: Sequence[str] = ()) -> None:
        """Write items and deletions as the catalogue writer does."""
        values = [(item.item_id, encode_item(item)) for item in items]
        pairs: list[tuple[str, bytes | None]] = [*values, *((item_id, None) for item_id in delete)]
        writes = []
        for item_id, value in pairs:
            self._item_offset += 1
            fence = Fence(Position(1, 0, self._item_offset), self._item_offset)
            writes.append(ItemWrite(fence, item_id, item_key(item_id), value))
        before, self._item_fence = self._item_fence, writes[-1].fence

        async def work(connection: Connection) -> None:
            written = await CatalogueWriter(connection).write(self.epoch, 0, before, writes, writes[-1].fence)
            assert written is True

        self.visit(work)

    def release(self, items: Sequence[Item] | None = None) -> str:
        """Build a day-0 release of some items and make it live; answers its name."""
        return init_release(str(self.releases), items if items is not None else shop_items(), now_ms())

    def live_release(self) -> Release:
        """The release that is live."""
        return open_release(ReleaseSource(str(self.releases)).live())

    def rules(self) -> ProfileRules:
        """How the profiler would apply events now."""
        release = self.live_release()
        return ProfileRules(release.space.at(1), release.vector_of, TYPES.weight, TTL_MS, 512)

    def event(
        self,
        user_id: str,
        item_id: str,
        kind: str = "view",
        *,
        age_s: int = 0,
        rules: ProfileRules | None = None,
        received_at_ms: int | None = None,
    ) -> Position:
        """Apply one event to a profile, write and announce it; answers its position."""
        rules = rules or self.rules()
        self.offset += 1
        position = Position(1, 0, self.offset)
        number = TYPES.number(kind)
        change = Change(
            position=position,
            event_hash=event_hash(f"event {self.offset}"),
            received_at_ms=now_ms() if received_at_ms is None else received_at_ms,
            time_s=now_ms() // 1000 - age_s,
            type_number=number,
            reason=1,
            lines=(Line(item_key(item_id), TYPES.weight(number), math.nan),),
        )

        async def work(connection: Connection) -> None:
            store = ProfileStore(connection)
            (raw,) = await store.read(self.epoch, [user_id])
            profile = Profile.decode(raw) if raw is not None else Profile.empty(rules.space)
            assert profile.apply(change, rules)
            write = ProfileWrite(user_id, raw, profile.encode())
            registry = {item_key(item_id): item_id}
            outcome = await store.write(self.epoch, [write], expire_ms=TTL_MS, registry=registry)
            assert outcome == [Outcome.WRITTEN]
            await store.publish({user_id: position})

        self.visit(work)
        return position

    def aggregate(
        self, scores: dict[str, float], *, neighbours: dict[str, list[str]] | None = None, partition: int = 0
    ) -> Position:
        """Set trending and popular scores and co-visitation rows, moving the partition's fence."""
        self.offset += 1
        position = Position(1, partition, self.offset)
        now_days = time.time() / 86_400

        async def work(connection: Connection) -> None:
            store = AggregateStore(connection)
            write = AggregateWrite(
                read=await store.fence(self.epoch, partition),
                fence=Fence(position, self.offset),
                trend={item_key(item_id): score + now_days for item_id, score in scores.items()},
                popular={item_key(item_id): score + now_days / 30 for item_id, score in scores.items()},
                neighbours={
                    item_key(item_id): np.array(
                        [(item_key(other), 10.0 + now_days / 30) for other in others], dtype=NEIGHBOUR
                    ).tobytes()
                    for item_id, others in (neighbours or {}).items()
                },
            )
            assert await store.write(self.epoch, partition, write)

        self.visit(work)
        return position

    def catalogue_size(self) -> int:
        """How many items the store holds."""
        return self.visit(lambda connection: CatalogueReader(connection).count(self.epoch))


@contextmanager
def recommender(shop: Shop, **overrides: Any) -> Iterator[httpx.Client]:
    """The recommender over HTTP, ready."""
    values: dict[str, Any] = {
        "store_url": shop.settings.store_url,
        "namespace": shop.settings.namespace,
        "release_url": str(shop.releases),
        "release_poll_ms": 50,
        "deadline_ms": 2000,  # a busy machine must not make a test fall down the ladder
        **overrides,
    }
    app = create_app(RecommenderSettings(**values))
    with serving(app) as url, httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        yield client


def eventually(check: Callable[[], T], *, why: str) -> T:
    """The first true answer of `check`; fails after a generous while."""
    ends_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_s:
        if found := check():
            return found
        time.sleep(0.02)
    raise AssertionError(f"never happened: {why}")


def ready(client: httpx.Client) -> None:
    """Wait until /readyz says so."""
    eventually(lambda: client.get("/readyz").status_code == 200, why="ready")


def ids_of(answer: dict[str, Any]) -> list[str]:
    """The item ids of a list."""
    return [item["item_id"] for item in answer["items"]]


def space_of(shop: Shop) -> Space:
    """The vector space of the live release."""
    return shop.live_release().space.at(1)


def now_ms() -> int:
    """Unix time, ms."""
    return time.time_ns() // 1_000_000
