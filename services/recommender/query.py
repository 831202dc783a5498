"""What a client asks: one list, or the rows of a page. Parsing is in `parse_query`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from services.kernel.position import Position
from services.ranking.scenario import Scenario
from services.ranking.scenario_file import Scenarios, built_in, built_in_scenarios

MAX_N = 200
DEFAULT_N = 10
MAX_EXCLUDE = 500  # ids; more is a filter's work, and a GET line has room for few more anyway
MAX_CANDIDATES = 500  # ids to rank; what the ranker takes at once inside the deadline
MAX_RECENT = 100  # events that the log may not have seen; a ring has 128 places
MAX_ROWS = 12  # lists of one page
MAX_CONTEXT = 32  # entries
MAX_CONTEXT_CHARS = 256  # in one value
MAX_CONTEXT_VALUES = 64  # of one name, such as the brands that somebody follows
FOR_YOU = "for_you"


class QueryError(Exception):
    """The question cannot be answered as asked; `detail` says what to change, `more` goes beside it."""

    def __init__(
        self, status: int, code: str, detail: str, more: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.more = more


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
    scenario: Scenario  # with what the request says about this list
    n: int
    item_id: str | None = None
    shown: frozenset[int] = frozenset()  # item keys of the row's former pages


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `candidates` None means the whole catalogue; `rows` empty means one list."""

    user_id: str | None = None
    anonymous_id: str | None = None
    n: int = DEFAULT_N
    scenario: Scenario = field(default_factory=lambda: built_in()[FOR_YOU])
    item_id: str | None = None
    exclude: frozenset[str] = frozenset()
    fields: tuple[str, ...] = ()
    after: Position | None = None
    recent: tuple[RecentItem, ...] = ()
    candidates: tuple[str, ...] | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    dedupe: bool = True
    shown: frozenset[int] = frozenset()  # item keys of former pages
    explain: bool = False
    scenarios: Scenarios = field(default_factory=built_in_scenarios)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Whose profiles the answer combines: none, one or two, the user's first."""
        named = (self.user_id, self.anonymous_id)
        return tuple(dict.fromkeys(subject for subject in named if subject is not None))

    def kept_out(self, row: Row) -> frozenset[int]:
        """The item keys that former pages showed; with `dedupe` in any of the rows."""
        if self.dedupe and self.rows:
            return self.shown.union(*(other.shown for other in self.rows))
        return self.shown | row.shown

    def lists(self) -> tuple[Row, ...]:
        """The lists to make: the rows, or the one list that was asked for."""
        return self.rows or (Row("", self.scenario, self.n, self.item_id),)
