"""What the first start decides and builds before anything serves: the demo shop or none, and its release."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from services.ingest.publisher import Publisher
from services.kernel.event_type import EventTypes
from services.kernel.item import parse_item
from services.kernel.metrics import Metrics
from services.kernel.release import NoReleaseError
from services.local.demo_loading import DemoLoader, DemoMark, DemoMarks
from services.local.demo_shop import DemoShop, read_shop
from services.local.lag import records_behind
from services.local.settings import RunSettings
from services.log.protocol import EventLog, LogError, Topic
from services.release.source import ReleaseSource
from services.store.connection import Connection
from services.store.errors import StoreError


@dataclass(frozen=True)
class DemoWish:
    """What the command line says about the demo: none, or only its newest orders."""

    empty: bool = False
    orders_max: int | None = None


@dataclass(frozen=True)
class FirstStart:
    """The demo shop that is still to be loaded, with its mark."""

    shop: DemoShop
    mark: DemoMark
    marks: DemoMarks

    @property
    def total(self) -> int:
        """Records in all."""
        return len(self.shop.items) + len(self.shop.orders)


async def decide(
    marks: DemoMarks,
    event_log: EventLog,
    wish: DemoWish,
    say: Callable[[str], None],
) -> FirstStart | None:
    """What there is to load: nothing after the first time, nothing beside data of somebody's own.

    The decision is kept, so that a shop which began with `--empty` never finds groceries in its catalogue.
    """
    mark = await marks.load()
    if mark is None:
        wanted = not wish.empty and not await _holds_records(event_log)
        mark = DemoMark(wanted, int(time.time()), wish.orders_max)
        await marks.save(mark)
    elif wish.empty and mark.wanted:
        say("the demo shop is already here, --empty changes nothing; another FRESHET_DATA_DIR starts anew")
    if not mark.wanted or mark.finished:
        return None
    return FirstStart(read_shop(mark.orders_max), mark, marks)


async def _holds_records(event_log: EventLog) -> bool:
    for topic in (Topic.ITEMS, Topic.EVENTS):
        if any(bound.end > 0 for bound in (await event_log.bounds(topic)).values()):
            return True
    return False


def build_release(shop: DemoShop, release_url: str, say: Callable[[str], None]) -> None:
    """A day-0 release from the shop's items, unless one is live: profiles then begin in its vector space."""
    from services.trainer.day0 import init_release

    try:
        ReleaseSource(release_url).live_name()
    except NoReleaseError:
        say(f"building a day-0 release from {len(shop.items):,} items ...")
        init_release(release_url, (parse_item(item) for item in shop.items), time.time_ns() // 1_000_000)


async def load_demo(
    first: FirstStart,
    settings: RunSettings,
    event_log: EventLog,
    connection: Connection,
    said: Callable[[int], None],
) -> None:
    """Publish what is left of the demo shop, and wait until it is applied; `said` is told how many records
    are. Raises LocalError, and the errors of whatever keeps the mark."""

    async def behind() -> int | None:
        try:
            return await records_behind(event_log, connection)
        except (LogError, StoreError):
            return None  # both come back

    publisher = Publisher(
        event_log.producer(), settings.ack_timeout_ms, settings.max_in_flight_bytes, Metrics()
    )
    loader = DemoLoader(
        shop=first.shop,
        marks=first.marks,
        mark=first.mark,
        publish=publisher.publish,
        types=EventTypes(settings.event_types),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    await publisher.start()
    try:
        await loader.run(said, behind)
    finally:
        await publisher.stop()
