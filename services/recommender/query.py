"""What a client asks: one list, or the rows of a page. Parsing is in `parse_query`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.kernel.position import Position

MAX_N = 200
DEFAULT_N = 10
MAX_EXCLUDE = 500  # ids; more is a filter's work, and a GET line has room for few more anyway
MAX_CANDIDATES = 500  # ids to rank; what the ranker takes at once inside the deadline
MAX_RECENT = 100  # events that the log may not have seen; a ring has 128 places
MAX_ROWS = 12  # lists of one page
MAX_CONTEXT = 32  # entries
MAX_CONTEXT_CHARS = 256  # in one value


class Scenario(StrEnum):
    """The lists there are."""

    FOR_YOU = "for_you"
    RECENTLY_VIEWED = "recently_viewed"
    SIMILAR = "similar"
    TRENDING = "trending"
    POPULAR = "popular"


SCENARIO_TEXT: Mapping[Scenario, str] = {
    Scenario.FOR_YOU: "What the model expects this user to want next.",
    Scenario.RECENTLY_VIEWED: "What this user looked at last, newest first; items in no catalogue too.",
    Scenario.SIMILAR: "Items like `item_id`; without it, like the user's last item.",
    Scenario.TRENDING: "What many users turn to now (half-life of a day).",
    Scenario.POPULAR: "What many users turn to (half-life of a month).",
}


class QueryError(Exception):
    """The question cannot be answered as asked; `detail` says what to change."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class RecentItem:
    """An event that the log may not have seen, for this answer only. `timestamp_ms` None means now."""

    item_id: str
    event_type: str = "view"
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One list of a page."""

    id: str
    scenario: Scenario
    n: int
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `candidates` None means the whole catalogue; `rows` empty means one list."""

    user_id: str | None = None
    anonymous_id: str | None = None
    n: int = DEFAULT_N
    scenario: Scenario = Scenario.FOR_YOU
    item_id: str | None = None
    exclude: frozenset[str] = frozenset()
    fields: tuple[str, ...] = ()
    after: Position | None = None
    recent: tuple[RecentItem, ...] = ()
    candidates: tuple[str, ...] | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    dedupe: bool = True

    @property
    def subjects(self) -> tuple[str, ...]:
        """Whose profiles the answer combines: none, one or two, the user's first."""
        named = (self.user_id, self.anonymous_id)
        return tuple(dict.fromkeys(subject for subject in named if subject is not None))

    def lists(self) -> tuple[Row, ...]:
        """The lists to make: the rows, or the one list that was asked for."""
        return self.rows or (Row("", self.scenario, self.n, self.item_id),)
