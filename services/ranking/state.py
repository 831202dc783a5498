"""What ranking works on, what it is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from services.ranking.aggregates import Aggregates
from services.ranking.catalogue import Catalogue
from services.ranking.model import OnnxModel

FOR_YOU = "for_you"
RECENTLY_VIEWED = "recently_viewed"
SIMILAR = "similar"
TRENDING = "trending"
POPULAR = "popular"
SCENARIOS = (FOR_YOU, RECENTLY_VIEWED, SIMILAR, TRENDING, POPULAR)

# The steps of the ladder, as `strategy` names them; a scenario may start below the first.
LADDER = ("model", "session", "trending", "popular", "catalogue")

MAX_N = 200  # items of an answer; the candidates that the blend sorts are a few times that


@dataclass(slots=True)
class RankingState:
    """All that an answer is made of, but for the profile. `model` is None until a release is loaded.

    `catalogue` changes in place (one thread writes and ranks); `aggregates` is replaced as a whole.
    """

    catalogue: Catalogue
    aggregates: Aggregates
    model: OnnxModel | None = None


@dataclass(frozen=True, slots=True)
class RankRequest:
    """One list to make. `candidates` None: the whole catalogue. Times are Unix ms."""

    now_ms: int
    scenario: str = FOR_YOU
    n: int = 10
    item_id: str | None = None
    exclude: frozenset[str] = field(default_factory=frozenset)
    candidates: tuple[str, ...] | None = None


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an item stands there, as the answer's JSON has it; each is true of the data it was made from.

    `code` is for translation, `item_id` the item that led here, `category` the category that did.
    """

    code: str
    text: str
    item_id: str | None = None
    category: str | None = None


class RankedItem(NamedTuple):
    """One line of an answer. `row` is the catalogue's row, -1 for an item in no catalogue (`key` names it).

    `item_id` is None only for such an item: the store's registry has its id. `score` falls down the list and
    compares within one answer only.
    """

    item_id: str | None
    key: int
    row: int
    score: float
    reason: Reason


class Ranking(NamedTuple):
    """An answer: its items, best first, the step of the ladder that the first came from, the release's
    name.
    """

    items: list[RankedItem]
    strategy: str
    release: str | None
