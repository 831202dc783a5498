"""A small part of the demo shop as items, releases and profiles, for tests of releases and ranking."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from services.kernel.covisits import bought_row_key
from services.kernel.event_type import EventType, EventTypes
from services.kernel.ids import item_key
from services.kernel.item import Item, encode_item, parse_item
from services.kernel.position import Position
from services.kernel.profile import (
    SEEN_BOUGHT,
    SEEN_DISLIKED,
    SEEN_FINISHED,
    SEEN_VIEWED,
    Change,
    Line,
    Profile,
    ProfileRules,
)
from services.kernel.segments import segment_key
from services.local.demo_shop import read_shop
from services.ranking.aggregates import Aggregates, Scores
from services.ranking.catalogue import Catalogue
from services.ranking.inputs import ModelQuestion
from services.ranking.model import OnnxModel
from services.ranking.rank import rank, wants_model
from services.ranking.state import Ranking, RankingState, RankRequest
from services.release.files import Release

NOW_S = 1_700_000_000
NOW_MS = NOW_S * 1000
TYPES = EventTypes()
REASONS: dict[int, int] = {
    EventType.PURCHASE: SEEN_BOUGHT,
    EventType.DISLIKE: SEEN_DISLIKED,
    EventType.VIDEO_COMPLETE: SEEN_FINISHED,
}


class Items(list[Item]):
    """A list that hypothesis can print in a line."""

    def __repr__(self) -> str:
        return f"{len(self)} items"


def demo_items(count: int = 600) -> Items:
    """The first `count` products."""
    return Items(parse_item(item) for item in read_shop().items[:count])


def state_of(
    items: Iterable[Item], release: Release | None, aggregates: Aggregates | None = None
) -> RankingState:
    """A state as the recommender holds it."""
    catalogue = Catalogue(release)
    catalogue.load([encode_item(item) for item in items])
    model = OnnxModel(release) if release is not None else None
    return RankingState(catalogue, aggregates or Aggregates.empty(), model)


def profile_of(
    release: Release | None,
    deeds: Sequence[tuple[str, int]],
    *,
    end_s: int = NOW_S,
    step_s: int = 60,
) -> Profile:
    """A profile after (item_id, type number) events, the last one at `end_s`."""
    from services.kernel.bank import NO_SPACE

    space = release.space.at(1) if release is not None else NO_SPACE
    vector_of = release.vector_of if release is not None else lambda _: None
    rules = ProfileRules(space, vector_of, TYPES.weight, 10**12, 512)
    profile = Profile.empty(space)
    for place, (item_id, number) in enumerate(deeds):
        time_s = end_s - step_s * (len(deeds) - 1 - place)
        line = Line(item_key(item_id), TYPES.weight(number), math.nan)
        change = Change(
            *(Position(1, 0, place), place + 1, time_s * 1000, time_s, number),
            *(REASONS.get(number, SEEN_VIEWED), (line,)),
        )
        profile.apply(change, rules)
    return profile


def scores_of(counts: Mapping[str, float], half_life_s: float) -> Scores:
    """Scores as if each item had its count of events right now."""
    keys = np.array([item_key(item_id) for item_id in counts], dtype=np.uint64)
    return Scores(keys, np.array([math.log2(count) + NOW_S / half_life_s for count in counts.values()]))


def aggregates_of(
    trending: Mapping[str, float] | None = None,
    popular: Mapping[str, float] | None = None,
    together: Mapping[str, Mapping[str, float]] | None = None,
    *,
    bought: Mapping[str, Mapping[str, float]] | None = None,
    segments: Mapping[str, Mapping[str, float]] | None = None,
) -> Aggregates:
    """Aggregates by item id and count; `segments` by names such as "country=DE"."""
    rows = {item_key(one): others for one, others in (together or {}).items()}
    rows |= {bought_row_key(item_key(one)): others for one, others in (bought or {}).items()}
    rows |= {segment_key(segment): items for segment, items in (segments or {}).items()}
    return Aggregates(
        scores_of(trending or {}, 86_400.0),
        scores_of(popular or {}, 30 * 86_400.0),
        {key: scores_of(others, 30 * 86_400.0) for key, others in rows.items()},
    )


def answer(state: RankingState, profile: Profile | None, request: RankRequest) -> Ranking:
    """Rank as the recommender does: the model first, where it is wanted."""
    found = None
    if state.model is not None and profile is not None and wants_model(state, profile, request):
        found = state.model.run([ModelQuestion(profile, request.now_ms)])[0]
    return rank(state, profile, request, found)


def ids(ranking: Ranking) -> list[str | None]:
    """The item ids of an answer."""
    return [item.item_id for item in ranking.items]
