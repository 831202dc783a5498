"""What the records of one batch add to the aggregates of their partition."""

from __future__ import annotations

from typing import NamedTuple

from services.kernel.bank import WeightOf
from services.kernel.profile import Change, Profile
from services.profiler.covisits import (
    COVISIT_ITEMS,
    COVISIT_PAIRS_MAX,
    COVISIT_WINDOW_S,
    POPULAR_HALF_LIFE_S,
    TREND_HALF_LIFE_S,
    add_neighbour,
    log_add,
    term,
)
from services.store.aggregates import Rows


class Contribution(NamedTuple):
    """One applied line of positive weight, and the items it was seen together with."""

    item: int
    weight: float
    time_s: int
    partners: tuple[int, ...]


def contributions_of(
    profile: Profile, change: Change, weight_of: WeightOf, ttl_ms: int
) -> list[Contribution]:
    """What a change adds, from the profile as it stands right before the change is applied.

    Each line of positive weight is paired with the up to 5 latest distinct other items of positive weight
    within 30 minutes of its time, lines before it in the same order first; at most 20 pairs a record.
    Weights are the deployment's, not the release's: aggregates are a function of the log alone.
    """
    forgotten = bool(profile.counter) and profile.expired(change.received_at_ms, ttl_ms)
    near = (
        []
        if forgotten
        else profile.latest_items(change.time_s, COVISIT_WINDOW_S, weight_of, COVISIT_ITEMS + 1)
    )
    made: list[Contribution] = []
    room = COVISIT_PAIRS_MAX
    for line in change.lines:
        weight = weight_of(change.type_number, line.value)
        if weight <= 0:
            continue
        partners = tuple([item for item in near if item != line.item][: min(COVISIT_ITEMS, room)])
        room -= len(partners)
        made.append(Contribution(line.item, weight, change.time_s, partners))
        if len(change.lines) > 1:
            near = [line.item, *(item for item in near if item != line.item)][: COVISIT_ITEMS + 1]
    return made


class Folded(NamedTuple):
    """Absolute new values, as AggregateWrite takes them."""

    trend: dict[int, float]
    popular: dict[int, float]
    neighbours: dict[int, bytes]


def touched(contributions: list[Contribution]) -> tuple[list[int], list[int]]:
    """(items whose scores change, items whose rows change), each once, in order of appearance."""
    scored = dict.fromkeys(one.item for one in contributions)
    visited: dict[int, None] = {}
    for one in contributions:
        if one.partners:
            visited[one.item] = None
            visited.update(dict.fromkeys(one.partners))
    return list(scored), list(visited)


def fold(contributions: list[Contribution], scored: list[int], visited: list[int], rows: Rows) -> Folded:
    """Add the contributions one by one, in log order, to what is stored: any cut gives the same."""
    trend = dict(zip(scored, rows.trend.tolist(), strict=True))
    popular = dict(zip(scored, rows.popular.tolist(), strict=True))
    neighbours = {item: bytearray(row or b"") for item, row in zip(visited, rows.neighbours, strict=True)}
    packed = {item: item.to_bytes(8, "little") for item in visited}
    for item, weight, time_s, partners in contributions:
        trend[item] = log_add(trend[item], term(weight, time_s, TREND_HALF_LIFE_S))
        long_term = term(weight, time_s, POPULAR_HALF_LIFE_S)
        popular[item] = log_add(popular[item], long_term)
        if partners:
            row, key = neighbours[item], packed[item]
            for partner in partners:
                add_neighbour(row, packed[partner], long_term)
                add_neighbour(neighbours[partner], key, long_term)
    return Folded(trend, popular, {item: bytes(row) for item, row in neighbours.items()})
