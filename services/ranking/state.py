"""What ranking works on, what it is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from services.ranking.aggregates import Aggregates
from services.ranking.catalogue import Catalogue
from services.ranking.model import OnnxModel
from services.ranking.reason_texts import LanguageTexts, built_in_texts
from services.ranking.scenario import Scenario
from services.ranking.scenario_file import built_in

MAX_N = 200  # items of an answer; the candidates that a ranker sorts are a few times that


@dataclass(slots=True)
class RankingState:
    """All that an answer is made of, but for the profile. `model` is None until a release is loaded.

    `catalogue` changes in place (one thread writes and ranks); `aggregates` is replaced as a whole.
    """

    catalogue: Catalogue
    aggregates: Aggregates
    model: OnnxModel | None = None
    # The deployment's, for whoever asks for lists by name (the trainer).
    scenarios: Mapping[str, Scenario] = field(default_factory=built_in)


@dataclass(frozen=True, slots=True)
class RankRequest:
    """One list to make. `candidates` None: the whole catalogue. Times are Unix ms."""

    now_ms: int
    scenario: Scenario = field(default_factory=lambda: built_in()["for_you"])
    n: int = 10
    item_id: str | None = None
    exclude: frozenset[str] = frozenset()
    candidates: tuple[str, ...] | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    # Item keys that former pages showed.
    shown: frozenset[int] = frozenset()
    explain: bool = False
    # The language of the reasons.
    texts: LanguageTexts = field(default_factory=lambda: built_in_texts().of(None))
    # Where `then` of a scenario is looked up.
    scenarios: Mapping[str, Scenario] = field(default_factory=built_in)


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an item stands there, as the answer's JSON has it; each is true of the data it was made from.

    `code` is for translation, `item_id` the item that led here, `category` the category that did, `country`
    and `device` where it is popular. `progress` is how far a video has run, 0 to 1, where its player said so.
    """

    code: str
    text: str
    item_id: str | None = None
    category: str | None = None
    country: str | None = None
    device: str | None = None
    progress: float | None = None


class RankedItem(NamedTuple):
    """One line of an answer. `row` is the catalogue's row, -1 for an item in no catalogue (`key` names it).

    `item_id` is None only for such an item: the store's registry has its id. `score` falls down the list and
    compares within one answer only. `explain` is there where the request asked for it.
    """

    item_id: str | None
    key: int
    row: int
    score: float
    reason: Reason
    explain: dict[str, Any] | None = None


class Unknown(msgspec.Struct, frozen=True):
    """A value that no item has, or a property that cannot be filtered by; `problem` says what was meant."""

    field: str
    value: Any
    problem: str


class FilterNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a filter did. `matched` counts the items of the catalogue that it lets in; `relaxed` names the
    fields whose conditions were dropped because too little was left; `unknown` the values that no item has;
    `missing` the variables that the request did not bring.
    """

    matched: int
    relaxed: tuple[str, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    missing: tuple[str, ...] = ()


class Ranking(NamedTuple):
    """An answer: its items, best first, the step of the ladder that the first came from, the release's
    name.
    """

    items: list[RankedItem]
    strategy: str
    release: str | None
    filter: FilterNote | None = None
