"""What the first start decides and builds before anything serves: the demo shop or none, and its release."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from services.kernel.item import parse_item
from services.kernel.release import NoReleaseError
from services.local.demo_loading import DemoMark, DemoMarkFile
from services.local.demo_shop import DemoShop, read_shop
from services.log.protocol import EventLog, Topic
from services.release.source import ReleaseSource


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
    file: DemoMarkFile


async def decide(
    file: DemoMarkFile,
    event_log: EventLog,
    wish: DemoWish,
    say: Callable[[str], None],
) -> FirstStart | None:
    """What there is to load: nothing after the first time, nothing beside data of somebody's own.

    The decision is kept, so that a shop which began with `--empty` never finds groceries in its catalogue.
    """
    mark = file.load()
    if mark is None:
        wanted = not wish.empty and not await _holds_records(event_log)
        mark = DemoMark(wanted, int(time.time()), wish.orders_max)
        file.save(mark)
    elif wish.empty and mark.wanted:
        say("the demo shop is already here, --empty changes nothing; another FRESHET_DATA_DIR starts anew")
    if not mark.wanted or mark.finished:
        return None
    return FirstStart(read_shop(mark.orders_max), mark, file)


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
