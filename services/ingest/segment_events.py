"""Segment's event names and what each is here; docs/SEGMENT.md shows this table (a test compares them).

The names are those of Segment's e-commerce (version 2 and 1), video, mobile and consent specs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

About = Literal["product", "products", "asset", "playback", "nobody's item"]


class Rule(msgspec.Struct, frozen=True):
    """The event type that a Segment event becomes, and where its properties name the item.

    "product" and "products": the properties themselves, or the list `products`, whichever is there (this word
    says which one the spec has). "asset": `asset_id`. "playback": `content_asset_id`.
    """

    event_type: str
    about: About


EVENTS: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "Products Searched": Rule("search", "nobody's item"),
        "Product List Viewed": Rule("impression", "products"),
        "Product List Filtered": Rule("impression", "products"),
        "Product Clicked": Rule("click", "product"),
        "Product Viewed": Rule("view", "product"),
        "Product Added": Rule("cart_add", "product"),
        "Product Removed": Rule("cart_remove", "product"),
        "Order Completed": Rule("purchase", "products"),
        "Product Added to Wishlist": Rule("like", "product"),
        "Wishlist Product Added to Cart": Rule("cart_add", "product"),
        "Product Shared": Rule("share", "product"),
        "Cart Shared": Rule("share", "products"),
        "Product Reviewed": Rule("rating", "product"),
        "Viewed Product": Rule("view", "product"),
        "Added Product": Rule("cart_add", "product"),
        "Removed Product": Rule("cart_remove", "product"),
        "Completed Order": Rule("purchase", "products"),
        "Video Playback Started": Rule("video_start", "playback"),
        "Video Playback Paused": Rule("video_progress", "playback"),
        "Video Playback Interrupted": Rule("video_progress", "playback"),
        "Video Playback Seek Completed": Rule("video_progress", "playback"),
        "Video Playback Exited": Rule("video_progress", "playback"),
        "Video Playback Completed": Rule("video_progress", "playback"),
        "Video Content Started": Rule("video_progress", "asset"),
        "Video Content Playing": Rule("video_progress", "asset"),
        "Video Content Completed": Rule("video_complete", "asset"),
        "Signed Up": Rule("identify", "nobody's item"),
        "Signed In": Rule("identify", "nobody's item"),
        "Segment Consent Preference": Rule("identify", "nobody's item"),
        "Segment Consent Preference Updated": Rule("identify", "nobody's item"),
    }
)

# Known, and about no item that somebody wants: nobody needs to be told that they are of no use.
IGNORED: Final = (
    "Promotion Viewed",
    "Promotion Clicked",
    "Viewed Product Category",
    "Cart Viewed",
    "Checkout Started",
    "Checkout Step Viewed",
    "Checkout Step Completed",
    "Payment Info Entered",
    "Order Updated",
    "Order Refunded",
    "Order Cancelled",
    "Coupon Entered",
    "Coupon Applied",
    "Coupon Denied",
    "Coupon Removed",
    "Product Removed from Wishlist",
    "Video Playback Buffer Started",
    "Video Playback Buffer Completed",
    "Video Playback Seek Started",
    "Video Playback Resumed",
    "Video Quality Updated",
    "Video Ad Started",
    "Video Ad Playing",
    "Video Ad Clicked",
    "Video Ad Skipped",
    "Video Ad Completed",
    "Signed Out",
    "Application Installed",
    "Application Opened",
    "Application Updated",
    "Application Foregrounded",
    "Application Backgrounded",
    "Application Crashed",
    "Application Uninstalled",
    "Deep Link Clicked",
    "Deep Link Opened",
    "Install Attributed",
    "Push Notification Received",
    "Push Notification Tapped",
    "Push Notification Bounced",
)

# The first of them that is there names the item.
PRODUCT_IDS: Final = ("product_id", "sku", "item_id", "id")
# `id` of a page is the page's.
PAGE_PRODUCT_IDS: Final = ("product_id", "sku", "item_id")

# Where a workspace has no category called personalization: all of these that are there must be granted. C0002
# and C0003 are OneTrust's "performance" and "functional". Advertising and data sharing are other purposes.
CONSENT_CATEGORIES: Final = frozenset({"functional", "analytics", "c0003", "c0002"})


def folded(name: str) -> str:
    """How names are compared: "Product Viewed", "product_viewed" and "product-viewed" are one."""
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())


RULES: Final = {folded(name): rule for name, rule in EVENTS.items()}
OF_NO_USE: Final = frozenset(map(folded, IGNORED))


def granted(preferences: Mapping[str, Any]) -> bool | None:
    """What consent categories say about a profile where none of them is called personalization."""
    said = [value for name, value in preferences.items() if folded(name) in CONSENT_CATEGORIES]
    return all(said) if said and all(isinstance(value, bool) for value in said) else None
