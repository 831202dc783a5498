"""Held-out events, asked one by one of the code that serves.

Before each event is applied, the system is asked what the subject will do next, with profile and aggregates
as they stood at that moment. What is asked, and how the answer is judged, is up to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.item import Item, encode_item
from services.kernel.profile import Change, Profile
from services.ranking.catalogue import Catalogue
from services.ranking.inputs import ModelQuestion
from services.ranking.model import ModelAnswer, OnnxModel
from services.ranking.rank import rank, wants_model
from services.ranking.state import Ranking, RankingState, RankRequest
from services.release.files import Release
from services.trainer.event_table import EventTable
from services.trainer.replay import LiveAggregates, Profiles, Record, ReplayRules, records_of

# The recommender merges the aggregates once a second; an hour is as good for what they say, and cheap.
SNAPSHOT_S: Final = 3600
# Events replayed before the first question, the newest: each takes some 40 µs, older ones have decayed.
WARM_EVENTS_MAX: Final = 2_000_000


class Asked(NamedTuple):
    """One question: who, with what profile, when, and what was wanted (item ids of the event)."""

    state: RankingState
    profile: Profile
    record: Record
    wanted: tuple[str, ...]

    @property
    def now_ms(self) -> int:
        """When it was asked, Unix ms."""
        return self.record.time_s * 1000


@dataclass(frozen=True)
class World:
    """A release and a catalogue, as the recommender holds them."""

    release: Release
    model: OnnxModel
    catalogue: Catalogue

    @classmethod
    def of(cls, release: Release, items: Iterable[Item], custom_types: str = "") -> World:
        """Load a release over a catalogue; `custom_types` as FRESHET_EVENT_TYPES has them. Raises
        ReleaseError.
        """
        catalogue = Catalogue(release)
        catalogue.load(encode_item(item) for item in items)
        return cls(release, OnnxModel(release, custom_types), catalogue)

    def vector_of(self, key: int) -> NDArray[np.float32] | None:
        """f32[d] of an item key: the release's, or for a newer item of the catalogue from its metadata."""
        known = self.release.vector_of(key)
        return known if known is not None else self.catalogue.vector(self.catalogue.row_of_key(key))

    def answer(self, profile: Profile, now_ms: int) -> ModelAnswer:
        """The model's answer."""
        return self.model.run([ModelQuestion(profile, now_ms)])[0]


def replay(
    world: World,
    table: EventTable,
    ask_from_s: int,
    rules: ReplayRules,
    ask: Callable[[Asked], None],
    *,
    frozen: bool = False,
    chosen: Callable[[Record], bool] = lambda _: True,
    hear: Callable[[Record, Change], None] = lambda _record, _change: None,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> None:
    """Replay a table; from `ask_from_s` on, `ask` before each event of somebody who has a profile.

    `frozen`: aggregates stop where the questions begin, as the published protocols have it; otherwise they
    go on, as in a running system. `chosen` says which events are asked about. `hear` is given each event
    after its question. `tell` is given events done and in all. A profile that is older than its TTL is
    nobody's, as it is for the recommender.
    """
    profiles = Profiles(table, world.release, rules, world.vector_of)
    live = LiveAggregates(rules)
    weight_of = rules.types.weight
    state: RankingState | None = None
    snapshot_s = 0
    total = len(table)
    done = 0
    for record in records_of(table):
        asking = record.time_s >= ask_from_s
        profile = profiles.get(record.subject)
        if asking and (state is None or (not frozen and record.time_s >= snapshot_s + SNAPSHOT_S)):
            snapshot_s = record.time_s
            state = RankingState(world.catalogue, live.snapshot(), world.model, rules.scenarios)
        known = profile is not None and not profile.expired(record.time_s * 1000, profiles.ttl_ms)
        change = profiles.change_of(record)
        if asking and state is not None and profile is not None and known and chosen(record):
            wanted = tuple(
                table.item_ids[item]
                for item, line in zip(record.items, change.lines, strict=True)
                if weight_of(record.type_number, line.value) > 0
                and not profile.is_heartbeat(change, line.item)
            )
            if wanted:
                ask(Asked(state, profile, record, wanted))
        hear(record, change)
        if not (asking and frozen):
            live.add(profile, change, profiles.space)
        profiles.apply(record, change)
        done += len(record.items)
        tell(done, total)


def lists_of(
    state: RankingState, profile: Profile | None, now_ms: int, ks: Sequence[int], scenario: str = "for_you"
) -> list[NDArray[np.int64]]:
    """Catalogue rows of what the running system would have answered, best first, a list for each length."""
    return [
        np.array([item.row for item in ranking.items if item.row >= 0], dtype=np.int64)
        for ranking in _answers(state, profile, now_ms, ks, scenario)
    ]


def recommended(asked: Asked, n: int, scenario: str = "for_you") -> Ranking:
    """What the running system would have answered."""
    return _answers(asked.state, asked.profile, asked.now_ms, (n,), scenario)[0]


def _answers(
    state: RankingState, profile: Profile | None, now_ms: int, ks: Sequence[int], scenario: str
) -> list[Ranking]:
    """One run of the model for all lengths."""
    made = state.scenarios[scenario]
    requests = [RankRequest(now_ms, made, k, scenarios=state.scenarios) for k in ks]
    model, answer = state.model, None
    if model is not None and profile is not None and wants_model(state, profile, requests[0]):
        answer = model.run([ModelQuestion(profile, now_ms)])[0]
    return [rank(state, profile, request, answer) for request in requests]


def ids_of(ranking: Ranking) -> Sequence[str]:
    """The item ids of an answer, best first."""
    return [item.item_id for item in ranking.items if item.item_id is not None]
