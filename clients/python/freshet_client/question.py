"""What lists are asked for by: the names of POST /recommend (docs/RECOMMEND.md), as keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from freshet_client.sent import Accepted, Sent

Filter = str | Mapping[str, Any]


class _Rules(TypedDict, total=False):
    n: int
    scenario: str
    item_id: str
    filter: Filter
    relax: Sequence[str]
    at_least: int
    diversity: float
    boosts: Sequence[Mapping[str, Any]]
    pins: Sequence[Mapping[str, Any]]
    caps: Sequence[Mapping[str, Any]]
    hide: Mapping[str, Any]


class BatchQuestion(_Rules, total=False):
    """What holds for every user of a batch."""

    fields: Sequence[str] | str
    exclude: Sequence[str]
    candidates: Sequence[str]
    context: Mapping[str, Any]
    explain: bool


class PageQuestion(BatchQuestion, total=False):
    """What holds for every row of a page.

    `after` is a position, or what `events.send` and `send_many` answered: the list is made once that event is
    in the profile, or says `fresh: False`.
    """

    anonymous_id: str
    after: str | Accepted | Sent | None
    recent_items: Sequence[str | Mapping[str, Any]]
    dedupe: bool


class Question(PageQuestion, total=False):
    """What one list is asked for by."""

    cursor: str | None


class Row(_Rules, total=False):
    """One list of a page; without an id, its place is its name: "0", "1", …"""

    id: str
    cursor: str | None


class BatchUser(TypedDict, total=False):
    """A user of a batch with something of their own."""

    user_id: str
    anonymous_id: str
    item_id: str
    context: Mapping[str, Any]
    exclude: Sequence[str]
