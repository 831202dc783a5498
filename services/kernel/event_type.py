"""The types of events: frozen numbers, weights, accepted spellings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from services.kernel.nearest import likely_meant


class EventType(IntEnum):
    """Built-in types. Numbers are frozen: they stand in every stored profile."""

    VIEW = 1
    CLICK = 2
    CART_ADD = 3
    CART_REMOVE = 4
    PURCHASE = 5
    VIDEO_START = 6
    VIDEO_PROGRESS = 7
    VIDEO_COMPLETE = 8
    SHARE = 9
    LIKE = 10
    DISLIKE = 11
    RATING = 12
    SEARCH = 13
    IMPRESSION = 14
    IDENTIFY = 15


# What an event adds to the interest bank per item; a release's manifest may override it.
# 0 leaves the bank alone.
DEFAULT_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "view": 1.0,
        "click": 1.0,
        "cart_add": 3.0,
        "cart_remove": 0.0,
        "purchase": 5.0,
        "video_start": 1.0,
        "video_progress": 1.0,
        "video_complete": 3.0,
        "share": 3.0,
        "like": 4.0,
        "dislike": -4.0,
        "rating": 2.0,  # times rating / 2.5 - 1: five stars +2, two and a half 0, none -2
        "search": 0.0,
        "impression": 0.0,
        "identify": 0.0,
    }
)

# These enter neither ring nor bank: they are counted and remembered as duplicates only. Of an impression the
# profile keeps what was shown (kernel/shown.py).
UNRECORDED: Final = frozenset({EventType.SEARCH, EventType.IMPRESSION, EventType.IDENTIFY})

_ITEMLESS: Final = frozenset({"search", "impression", "identify"})
_FIRST_CUSTOM: Final = 128
_LAST_CUSTOM: Final = 255
_MAX_WEIGHT: Final = 1000.0  # far above any sensible ratio, far below what loses f32 precision in the bank
_MAX_NAME: Final = 64
_CUSTOM = re.compile(r"^([a-z][a-z0-9_]{0,63}):(\d{1,3})=(-?\d+(?:\.\d+)?)$")

# GA4, Segment, Google Retail, Recombee and plain English; case, "-" and " " do not matter.
_ACCEPTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "view": "product_view product_viewed view_product view_item item_view item_viewed viewed detail_view"
        " detail_page_view content_view content_viewed view_content video_view article_view",
        "click": "clicked product_click product_clicked item_click select_item select_content",
        "cart_add": "add_to_cart added_to_cart product_added add_cart addtocart cart_addition",
        "cart_remove": "remove_from_cart removed_from_cart product_removed cart_removal",
        "purchase": "purchased buy order transaction purchase_complete order_completed checkout_completed",
        "video_start": "play video_play video_started playback_started media_play",
        "video_progress": "watch video_watch playback_progress media_progress",
        "video_complete": "video_completed video_end playback_completed media_complete",
        "share": "shared product_shared content_shared",
        "like": "liked thumbs_up favorite favourite add_to_wishlist added_to_wishlist"
        " product_added_to_wishlist",
        "dislike": "disliked thumbs_down",
        "rating": "rate rated review product_reviewed",
        "search": "searched view_search_results products_searched",
        "impression": "impressions view_item_list item_impression product_impression product_list_viewed",
        "identify": "identified login sign_up alias merge",
    }
)
_SPELLINGS: Final = {spelling: name for name, accepted in _ACCEPTED.items() for spelling in accepted.split()}


class UnknownEventTypeError(ValueError):
    """No built-in or configured type has this name; the message names the nearest one."""


class EventTypes:
    """The types of one deployment: the built-in ones and those of `FRESHET_EVENT_TYPES`.

    `custom` is `name:number=weight,…` with numbers 128 to 255. Raises ValueError for anything else.
    """

    def __init__(self, custom: str = "", weights: Mapping[str, float] | None = None) -> None:
        self.custom = custom
        self._numbers = {kind.name.lower(): int(kind) for kind in EventType}
        self._weights = dict(DEFAULT_WEIGHTS)
        for entry in filter(None, re.split(r"[\s,]+", custom)):
            self._add(entry)
        self._names = {number: name for name, number in self._numbers.items()}
        self._spellings = {**_SPELLINGS, **{name: name for name in self._numbers}}
        for name, weight in (weights or {}).items():
            if name in self._numbers:  # a release may know types that this deployment does not
                self._weights[name] = weight
        self._weight_of = {number: self._weights[name] for name, number in self._numbers.items()}

    def _add(self, entry: str) -> None:
        match = _CUSTOM.match(entry)
        if match is None:
            raise ValueError(f"{entry[:64]!r} is not name:number=weight, such as wishlist:200=2.5")
        name, number, weight = match[1], int(match[2]), float(match[3])
        if not _FIRST_CUSTOM <= number <= _LAST_CUSTOM or number in self._numbers.values():
            raise ValueError(f"{entry!r}: take a number of your own from {_FIRST_CUSTOM} to {_LAST_CUSTOM}")
        if name in self._numbers:
            raise ValueError(f"{entry!r}: {name} is there already")
        if abs(weight) > _MAX_WEIGHT:
            raise ValueError(f"{entry!r}: weights lie between -{_MAX_WEIGHT:.0f} and {_MAX_WEIGHT:.0f}")
        self._numbers[name] = number
        self._weights[name] = weight

    def weighed_by(self, weights: Mapping[str, float]) -> EventTypes:
        """The same types with the weights of a release."""
        return EventTypes(self.custom, weights)

    def canonical(self, spelling: str) -> str:
        """The canonical name of an accepted spelling. Raises UnknownEventTypeError."""
        name = self.find(spelling)
        if name is not None:
            return name
        if len(spelling) > _MAX_NAME:
            raise UnknownEventTypeError(f"is longer than {_MAX_NAME} characters")
        near = likely_meant(_folded(spelling), self._spellings)
        raise UnknownEventTypeError(
            f"{spelling!r} is unknown; "
            + (
                f"the nearest is {self._spellings[near]!r}"
                if near
                else f"the types are {', '.join(self._numbers)}"
            )
        )

    def find(self, spelling: str) -> str | None:
        """The canonical name of an accepted spelling, None for any other; it looks for no nearest one."""
        name = self._spellings.get(spelling)
        if name is None and len(spelling) <= _MAX_NAME:
            name = self._spellings.get(_folded(spelling))
        return name

    def number(self, name: str) -> int:
        """The frozen number of a canonical name. Raises UnknownEventTypeError."""
        try:
            return self._numbers[name]
        except KeyError:
            raise UnknownEventTypeError(f"{name[:_MAX_NAME]!r} is no type of this deployment") from None

    def name(self, number: int) -> str:
        """The canonical name of a number; `type_<number>` for one that this deployment no longer knows."""
        return self._names.get(number) or f"type_{number}"

    def weight(self, number: int, rating: float | None = None) -> float:
        """What an event of this type adds to the bank per item; a rating is scaled to -1 … 1 first."""
        weight = self._weight_of.get(number, 0.0)
        if number == EventType.RATING:
            return weight * (rating / 2.5 - 1.0) if rating is not None else 0.0
        return weight

    def needs_item(self, name: str) -> bool:
        """Whether an event of this type without an item says nothing."""
        return name in DEFAULT_WEIGHTS and name not in _ITEMLESS

    def names(self) -> tuple[str, ...]:
        """All canonical names."""
        return tuple(self._numbers)

    def weights(self) -> dict[str, float]:
        """Weight by canonical name."""
        return dict(self._weights)


def _folded(spelling: str) -> str:
    return spelling.strip().lower().replace(" ", "_").replace("-", "_")
