"""The shapes of answers, as the API has them. Fields that a later Freshet adds are there too, untyped."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Problem(TypedDict):
    """RFC 9457, as it stands in a line of a batch."""

    status: int
    code: str
    detail: str


class Reason(TypedDict):
    """Why an item stands in a list. Translate by `code`."""

    code: str
    text: str
    item_id: NotRequired[str]
    category: NotRequired[str]


class RecommendedItem(TypedDict):
    """A line of a list, with the catalogue fields that `fields` asked for; None where the item has none."""

    item_id: str
    score: float
    rank: int
    reason: Reason
    explain: NotRequired[dict[str, Any]]
    title: NotRequired[str | None]
    description: NotRequired[str | None]
    url: NotRequired[str | None]
    image_urls: NotRequired[list[str] | None]
    categories: NotRequired[list[list[str]] | None]
    brand: NotRequired[str | None]
    tags: NotRequired[list[str] | None]
    price: NotRequired[float | None]
    list_price: NotRequired[float | None]
    currency: NotRequired[str | None]
    language: NotRequired[str | None]
    group_id: NotRequired[str | None]
    group_order: NotRequired[float | None]
    available: NotRequired[bool | None]
    published_at: NotRequired[Any]
    expires_at: NotRequired[Any]
    properties: NotRequired[dict[str, Any] | None]


class _Facts(TypedDict):
    user_id: str | None
    anonymous_id: str | None
    profile_events: int
    profile_age_ms: int | None
    fresh: bool


class _List(TypedDict):
    items: list[RecommendedItem]
    recommendation_id: str
    scenario: str
    strategy: str
    release: str | None
    next_cursor: str | None
    filter: NotRequired[dict[str, Any]]


class Recommendations(_List, _Facts):
    """One list. `fresh` says whether the position of `after` was reached."""


class PageRow(_List):
    """One list of a page."""

    id: str


class Page(_Facts):
    """The lists of a page."""

    rows: list[PageRow]


class BatchLine(Recommendations):
    """One user of a batch; where `error` is there, nothing but who it is about stands beside it."""

    error: NotRequired[Problem]


class RecentEvent(TypedDict):
    """An event in a profile; `timestamp` in Unix seconds."""

    item_id: str
    event_type: str
    timestamp: int
    value: float | None


class Interest(TypedDict):
    """A category, and its share of all that a user likes."""

    category: str
    weight: float


class Profile(TypedDict):
    """What is known about a user. Somebody nobody has heard of has 0 events."""

    user_id: str
    events: int
    position: str | None
    recent: list[RecentEvent]
    interests: list[Interest]
    consent: str | None
    expires_in_s: int | None


class ItemPage(TypedDict):
    """Some items of the catalogue, in the order of their ids."""

    items: list[dict[str, Any]]
    next_cursor: str | None
    total: int
